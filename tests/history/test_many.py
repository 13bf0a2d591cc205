"""A history of 10,000 pictures: how much work a page is, counted and not timed."""

import os

import pytest

from tests.history.fakes import Counting, many, picture, settle
from wuerst_demo.history.history import PAGE, Held, History

pytestmark = pytest.mark.slow
COUNT = 10_000
ASKED = ({}, {"search": "fox"}, {"search": "number"}, {"favourites": True})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("many") / "outputs"
    many(root, COUNT)
    settle(root)
    return root


@pytest.fixture(scope="module")
def counting():
    return Counting()


@pytest.fixture(scope="module")
def history(root, counting):
    history = History(root, counting)
    assert history.look() == Held(COUNT, 0)
    return history


def works(history, counting, **asked):
    """How many pictures there are on all pages, and the work that each page was."""
    total, works, older = 0, [], None
    while older is not None or not works:
        start = counting.tens
        page = history.page(**asked, **({} if older is None else {"before": older}))
        works.append(10 * (counting.tens - start))
        total += len(page.pictures)
        older = page.older
    return total, works


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_every_page_of_10000_pictures_is_as_little_work_as_the_first(history, counting, asked):
    total, all_of_them = works(history, counting, **asked)
    assert total == (COUNT // 100 if "favourites" in asked else COUNT // 10 if "fox" in asked.values() else COUNT)
    # a few instructions for each row that is shown; to go through all rows would be 30,000 and more
    assert max(all_of_them) < 40 * PAGE


def test_a_page_of_10000_pictures_is_as_little_work_as_one_of_2500(history, counting, tmp_path):
    many(tmp_path / "few", COUNT // 4)
    count_few = Counting()
    few = History(tmp_path / "few", count_few)
    few.look()
    for asked in ASKED:
        start, start_few = counting.tens, count_few.tens
        assert len(history.page(**asked).pictures) == len(few.page(**asked).pictures) == PAGE
        assert 10 * (counting.tens - start) <= 10 * (count_few.tens - start_few) + 40


def test_a_look_at_a_folder_in_which_nothing_changed_reads_no_folder_and_no_picture(history, root, counting):
    history.look()
    start = counting.tens
    assert history.look() == Held(COUNT, 0)
    assert 10 * (counting.tens - start) < 2000


def test_of_a_folder_that_changed_only_new_pictures_are_read(history, root):
    history.look()
    day = min(each for each in root.iterdir() if not each.name.startswith("."))
    for path in day.glob("*.png"):  # whoever reads these once more takes them for something else
        was = path.stat()
        path.write_bytes(b"x" * was.st_size)
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    picture(day / "20250101-000000-seed1.png", "new")
    assert history.look() == Held(COUNT + 1, 0)
