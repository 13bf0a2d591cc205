"""Ids of the index, and the work of each page in a history of 10,000 images, counted and not timed."""

import os
import sqlite3

import pytest

from tests.fakes.history import InstructionCounter, backdate_folders, write_image, write_many_images
from wuerst_demo.history.folder import ImageFile, ImageRecord
from wuerst_demo.history.index import MAX_ID, HistoryIndex, fts_query
from wuerst_demo.history.store import PAGE_SIZE, HistoryStore, HistorySummary

COUNT = 10_000
QUERIES = ({}, {"search": "fox"}, {"search": "number"}, {"favourites": True})


def images(*times_us):
    """Images created at these times, as files of one folder."""
    return [
        (ImageFile(f"{k}.png", (k, 0), False), ImageRecord("a cat", "", time_us)) for k, time_us in enumerate(times_us)
    ]


@pytest.fixture
def index():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield HistoryIndex(connection)
    connection.close()


def test_an_id_is_the_creation_time_or_the_next_free_number(index):
    index.update("", 0, [], images(1000, 1000, 1000, 1001, 5000), [])
    assert [entry.id for entry in index.page("", False, MAX_ID, 10)] == [5000, 1003, 1002, 1001, 1000]
    assert sorted(entry.name for entry in index.page("cat", False, MAX_ID, 10)) == [f"{k}.png" for k in range(5)]


def test_ids_stay_below_the_largest(index):
    index.update("", 0, [], images(MAX_ID, MAX_ID), [])
    assert len(index.page("", False, MAX_ID, 10)) == 2


def test_each_word_of_a_search_is_quoted_as_a_prefix():
    assert fts_query('red "fox" OR\0*') == '"red"* """fox"""* "OR"* "*"*'


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("many") / "outputs"
    write_many_images(root, COUNT)
    backdate_folders(root)
    return root


@pytest.fixture(scope="module")
def counting():
    return InstructionCounter()


@pytest.fixture(scope="module")
def history(root, counting):
    history = HistoryStore(root, counting)
    assert history.refresh() == HistorySummary(COUNT, 0)
    return history


def works(history, counting, **query):
    """Number of images on all pages, and the work of each page."""
    total, works, older = 0, [], None
    while older is not None or not works:
        start = counting.tens
        page = history.page(**query, **({} if older is None else {"before": older}))
        works.append(10 * (counting.tens - start))
        total += len(page.images)
        older = page.older
    return total, works


@pytest.mark.slow
@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_every_page_of_10000_images_takes_as_little_work_as_the_first(history, counting, query):
    total, all_of_them = works(history, counting, **query)
    assert total == (COUNT // 100 if "favourites" in query else COUNT // 10 if "fox" in query.values() else COUNT)
    # a few instructions per row shown; reading all rows would take 30,000 and more
    assert max(all_of_them) < 40 * PAGE_SIZE


@pytest.mark.slow
def test_a_page_of_10000_images_takes_as_little_work_as_one_of_2500(history, counting, tmp_path):
    write_many_images(tmp_path / "few", COUNT // 4)
    count_few = InstructionCounter()
    few = HistoryStore(tmp_path / "few", count_few)
    few.refresh()
    for query in QUERIES:
        start, start_few = counting.tens, count_few.tens
        assert len(history.page(**query).images) == len(few.page(**query).images) == PAGE_SIZE
        assert 10 * (counting.tens - start) <= 10 * (count_few.tens - start_few) + 40


@pytest.mark.slow
def test_a_refresh_without_changes_reads_no_folder_and_no_image(history, root, counting):
    history.refresh()
    start = counting.tens
    assert history.refresh() == HistorySummary(COUNT, 0)
    assert 10 * (counting.tens - start) < 2000


@pytest.mark.slow
def test_only_new_images_of_a_changed_folder_are_read(history, root):
    history.refresh()
    day = min(each for each in root.iterdir() if not each.name.startswith("."))
    for path in day.glob("*.png"):  # read again, they would count as files of other programs
        was = path.stat()
        path.write_bytes(b"x" * was.st_size)
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    write_image(day / "20250101-000000-seed1.png", "new")
    assert history.refresh() == HistorySummary(COUNT + 1, 0)
