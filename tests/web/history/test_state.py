"""Changes of the History tab's state."""

import pytest

from tests.fakes.history import write_album, write_image
from wuerst_demo.errors import StorageError
from wuerst_demo.history.store import PAGE_SIZE, HistoryStore
from wuerst_demo.web.history import state
from wuerst_demo.web.history.state import HistoryState


@pytest.fixture
def root(tmp_path):
    write_album(tmp_path / "outputs", [f"a {'fox' if k % 3 else 'cat'}" for k in range(2 * PAGE_SIZE + 2)])
    return tmp_path / "outputs"


@pytest.fixture
def history(root):
    return HistoryStore(root)


@pytest.fixture
def shelf(history):
    return state.open_folder(history, HistoryState())


def seeds(shelf):
    return [int(each.path.stem.partition("seed")[2]) for each in shelf.images]


def test_pages_lead_to_the_end_and_back(history, shelf):
    pages = [shelf]
    while pages[-1].next_start is not None:
        pages.append(state.go_to_older_page(history, pages[-1]))
    assert [seed for page in pages for seed in seeds(page)] == list(range(2 * PAGE_SIZE + 1, -1, -1))
    assert state.go_to_older_page(history, pages[-1]) == pages[-1]
    assert "49 to 50 of 50 pictures" in state.render_summary(pages[-1])
    back = state.go_to_newer_page(history, state.go_to_newer_page(history, pages[-1]))
    assert seeds(back) == seeds(shelf)
    assert seeds(state.go_to_newer_page(history, back)) == seeds(shelf)


def test_a_search_starts_at_the_first_page_and_stays_on_later_ones(history, shelf):
    found = state.search_images(history, state.go_to_older_page(history, shelf), "fox", False)
    found = state.go_to_older_page(history, found)
    assert all(seed % 3 for seed in seeds(found))
    assert "25 to 33 of those that match" in state.render_summary(found)
    none = state.search_images(history, found, "owl", False)
    assert (none.images, none.next_start) == ((), None)
    assert "No picture matches" in state.render_summary(none)


def test_a_favourite_is_set_found_and_removed(history, shelf):
    marked = state.toggle_favourite(history, state.select_image(history, shelf, 2))
    assert marked.selected.favourite
    assert [each.favourite for each in marked.images[:4]] == [False, False, True, False]
    only = state.search_images(history, marked, "", True)
    assert seeds(only) == [seeds(shelf)[2]]
    again = state.toggle_favourite(history, state.select_image(history, only, 0))
    assert not again.selected.favourite
    assert state.search_images(history, again, "", True).images == ()


def test_an_image_is_deleted_only_at_the_second_press(history, shelf):
    picked = state.select_image(history, shelf, 1)
    asked = state.delete_selected(history, picked)
    assert asked.delete_pressed
    assert asked.selected.path.exists()
    spared = state.cancel_delete(history, asked)
    assert not spared.delete_pressed
    assert state.delete_selected(history, spared).selected.path.exists()
    for other in (state.select_image(history, asked, 2), state.close_image(history, asked)):
        assert not other.delete_pressed, "the second time is about the same picture"
    gone = state.delete_selected(history, asked)
    assert not picked.selected.path.exists()
    assert seeds(gone) == [seed for seed in range(2 * PAGE_SIZE + 1, 0, -1) if seed != seeds(shelf)[1]][:PAGE_SIZE]
    assert "of 49 pictures" in state.render_summary(gone)


def test_deleting_the_last_image_of_the_last_page_goes_back_a_page(history, shelf):
    last = state.go_to_older_page(history, state.go_to_older_page(history, shelf))
    for left in (1, 0):
        last = state.delete_selected(history, state.delete_selected(history, state.select_image(history, last, 0)))
        assert len(last.page_starts) == (3 if left else 2)
    assert len(last.images) == PAGE_SIZE


@pytest.mark.parametrize("at", [-1, PAGE_SIZE, 10**9, None, [0, 1], "0"])
def test_only_images_of_the_page_can_be_selected(history, shelf, at):
    assert state.select_image(history, shelf, at).selected is None


def test_without_a_selection_nothing_is_marked_or_deleted(history, shelf):
    assert state.toggle_favourite(history, shelf) == shelf
    assert state.delete_selected(history, shelf) == shelf


def test_an_image_deleted_meanwhile_is_reported(history, shelf):
    shelf.images[0].path.unlink()
    with pytest.raises(StorageError, match="no longer in the folder"):
        state.select_image(history, shelf, 0)


def test_the_summary_counts_images_and_escapes_errors(history, root, tmp_path):
    assert "No pictures yet" in state.render_summary(state.open_folder(HistoryStore(tmp_path / "none"), HistoryState()))
    write_image(tmp_path / "one" / "20261124-000000-seed1.png")
    (tmp_path / "one" / "x.png").touch()
    one = state.render_summary(state.open_folder(HistoryStore(tmp_path / "one"), HistoryState()))
    assert "1 to 1 of 1 picture, newest first. One other PNG file in the folder is ignored." in one
    assert "&lt;b&gt;" in state.render_summary(HistoryState(), "<b>")
