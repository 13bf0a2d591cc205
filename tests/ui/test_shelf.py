"""What the History tab shows follows from what the visitor did, step by step."""

import pytest

from tests.history.fakes import album, picture
from wuerst_demo.errors import StorageError
from wuerst_demo.history.history import PAGE, History
from wuerst_demo.ui import shelf as shelves
from wuerst_demo.ui.shelf import Shelf


@pytest.fixture
def root(tmp_path):
    album(tmp_path / "outputs", [f"a {'fox' if k % 3 else 'cat'}" for k in range(2 * PAGE + 2)])
    return tmp_path / "outputs"


@pytest.fixture
def history(root):
    return History(root)


@pytest.fixture
def shelf(history):
    return shelves.opened(history, Shelf())


def seeds(shelf):
    return [int(each.path.stem.partition("seed")[2]) for each in shelf.pictures]


def test_pages_are_turned_to_the_end_and_back(history, shelf):
    pages = [shelf]
    while pages[-1].older is not None:
        pages.append(shelves.older(history, pages[-1]))
    assert [seed for page in pages for seed in seeds(page)] == list(range(2 * PAGE + 1, -1, -1))
    assert shelves.older(history, pages[-1]) == pages[-1]
    assert "49 to 50 of 50 pictures" in shelves.said(pages[-1])
    back = shelves.newer(history, shelves.newer(history, pages[-1]))
    assert seeds(back) == seeds(shelf)
    assert seeds(shelves.newer(history, back)) == seeds(shelf)


def test_a_search_begins_at_the_first_page_and_stays_while_pages_are_turned(history, shelf):
    found = shelves.sought(history, shelves.older(history, shelf), "fox", False)
    found = shelves.older(history, found)
    assert all(seed % 3 for seed in seeds(found))
    assert "25 to 33 of those that match" in shelves.said(found)
    none = shelves.sought(history, found, "owl", False)
    assert (none.pictures, none.older) == ((), None)
    assert "No picture matches" in shelves.said(none)


def test_a_favourite_is_marked_and_found_and_no_longer_one(history, shelf):
    marked = shelves.marked(history, shelves.chosen(history, shelf, 2))
    assert marked.chosen.favourite
    assert [each.favourite for each in marked.pictures[:4]] == [False, False, True, False]
    only = shelves.sought(history, marked, "", True)
    assert seeds(only) == [seeds(shelf)[2]]
    again = shelves.marked(history, shelves.chosen(history, only, 0))
    assert not again.chosen.favourite
    assert shelves.sought(history, again, "", True).pictures == ()


def test_a_picture_is_deleted_only_when_that_is_said_twice(history, shelf):
    picked = shelves.chosen(history, shelf, 1)
    asked = shelves.deleted(history, picked)
    assert asked.sure
    assert asked.chosen.path.exists()
    spared = shelves.spared(history, asked)
    assert not spared.sure
    assert shelves.deleted(history, spared).chosen.path.exists()
    for other in (shelves.chosen(history, asked, 2), shelves.closed(history, asked)):
        assert not other.sure, "the second time is about the same picture"
    gone = shelves.deleted(history, asked)
    assert not picked.chosen.path.exists()
    assert seeds(gone) == [seed for seed in range(2 * PAGE + 1, 0, -1) if seed != seeds(shelf)[1]][:PAGE]
    assert "of 49 pictures" in shelves.said(gone)


def test_the_last_picture_of_the_last_page_takes_the_page_with_it(history, shelf):
    last = shelves.older(history, shelves.older(history, shelf))
    for left in (1, 0):
        last = shelves.deleted(history, shelves.deleted(history, shelves.chosen(history, last, 0)))
        assert len(last.trail) == (3 if left else 2)
    assert len(last.pictures) == PAGE


@pytest.mark.parametrize("at", [-1, PAGE, 10**9, None, [0, 1], "0"])
def test_what_is_not_on_the_page_cannot_be_opened(history, shelf, at):
    assert shelves.chosen(history, shelf, at).chosen is None


def test_nothing_open_is_nothing_to_mark_or_delete(history, shelf):
    assert shelves.marked(history, shelf) == shelf
    assert shelves.deleted(history, shelf) == shelf


def test_a_picture_that_went_in_the_meantime_gets_a_sentence(history, shelf):
    shelf.pictures[0].path.unlink()
    with pytest.raises(StorageError, match="no longer in the folder"):
        shelves.chosen(history, shelf, 0)


def test_what_there_is_is_said(history, root, tmp_path):
    assert "No pictures yet" in shelves.said(shelves.opened(History(tmp_path / "none"), Shelf()))
    picture(tmp_path / "one" / "20261124-000000-seed1.png")
    (tmp_path / "one" / "x.png").touch()
    one = shelves.said(shelves.opened(History(tmp_path / "one"), Shelf()))
    assert "1 to 1 of 1 picture, newest first. One other PNG file there is left alone." in one
    assert "&lt;b&gt;" in shelves.said(Shelf(), "<b>")
