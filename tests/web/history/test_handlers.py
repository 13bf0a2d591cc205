"""Handlers of the History tab."""

from functools import partial
from types import SimpleNamespace

import gradio as gr
import pytest

from tests.fakes.history import write_album
from tests.fakes.web import LIMITS, fake_context
from wuerst_demo.history.store import HistoryStore
from wuerst_demo.web.generate import layout as generate_layout
from wuerst_demo.web.history import layout, state
from wuerst_demo.web.history.handlers import HistoryHandlers
from wuerst_demo.web.history.state import HistoryState


@pytest.fixture
def history(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    write_album(tmp_path / "outputs", ["a fox", "a cat", "an owl"])
    return HistoryStore(tmp_path / "outputs")


@pytest.fixture(scope="module")
def tabs():
    with gr.Blocks(), gr.Tabs() as tabs:
        return SimpleNamespace(
            all=tabs, history=layout.HistoryTab(), generate=generate_layout.GenerateTab(fake_context())
        )


@pytest.fixture
def apply(history, tabs):
    """Applies a change of the state, and gives the updates."""
    return HistoryHandlers(history, LIMITS, tabs.history).change


def test_what_is_done_with_an_image_is_hidden_until_one_is_selected(tabs):
    buttons = [each for each in tabs.history.state_outputs if isinstance(each, gr.Button)]
    hidden = {each.elem_id for each in buttons if not each.visible}
    assert hidden == {f"history-{name}" for name in ("use", "vary", "morph", "mark", "delete", "keep")}


def test_opening_the_tab_shows_the_newest_images_first(apply, tabs):
    updates = apply(state.open_folder, HistoryState())
    assert len(updates[tabs.history.gallery].value) == 3
    assert "1 to 3 of 3 pictures" in updates[tabs.history.summary]
    assert updates[tabs.history.use].visible is False


def test_selecting_an_image_shows_it_and_leaves_the_gallery_alone(apply, history, tabs):
    opened = apply(state.open_folder, HistoryState())[tabs.history.state]
    select = HistoryHandlers(history, LIMITS, tabs.history).select
    updates = select(opened, SimpleNamespace(index=0))
    assert "an owl" in updates[tabs.history.details]
    assert updates[tabs.history.use].visible is True
    assert tabs.history.gallery not in updates


def test_opening_the_tab_again_closes_the_image_and_renders_an_unchanged_page_no_second_time(apply, tabs):
    opened = apply(state.open_folder, HistoryState())[tabs.history.state]
    assert tabs.history.gallery not in apply(state.open_folder, opened)
    selected = apply(state.select_image, opened, 1)[tabs.history.state]
    again = apply(state.open_folder, selected)
    assert again[tabs.history.gallery].selected_index is None
    assert again[tabs.history.details] == ""


def test_delete_needs_a_second_press_and_then_updates_the_gallery(apply, tabs):
    opened = apply(state.open_folder, HistoryState())[tabs.history.state]
    selected = apply(state.select_image, opened, 1)[tabs.history.state]
    pressed = apply(state.delete_selected, selected)
    assert (pressed[tabs.history.delete].value, pressed[tabs.history.keep].visible) == ("Delete permanently", True)
    deleted = apply(state.delete_selected, pressed[tabs.history.state])
    assert len(deleted[tabs.history.gallery].value) == 2
    assert deleted[tabs.history.details] == ""


def test_closing_an_image_leaves_the_gallery_alone(apply, tabs):
    opened = apply(state.open_folder, HistoryState())[tabs.history.state]
    selected = apply(state.select_image, opened, 1)[tabs.history.state]
    assert tabs.history.gallery not in apply(state.close_image, selected)


def test_a_failed_change_is_reported_and_keeps_the_state(apply, tabs, caplog):
    opened = apply(state.open_folder, HistoryState())[tabs.history.state]
    opened.images[0].path.unlink()
    updates = apply(state.select_image, opened, 0)
    assert updates.keys() == {tabs.history.summary}
    assert "no longer in the folder" in updates[tabs.history.summary]

    def broken(history, state):
        raise RuntimeError("a secret")

    updates = apply(broken, opened)
    assert "internal error" in updates[tabs.history.summary]
    assert "a secret" in caplog.text


def test_reusing_an_image_fills_in_the_generate_tab(apply, history, tabs):
    reuse = partial(HistoryHandlers(history, LIMITS, tabs.history).reuse_settings, tabs.generate, tabs.all)
    opened = apply(state.open_folder, HistoryState())[tabs.history.state]
    assert reuse(opened).keys() == {tabs.history.summary}  # nothing is selected
    selected = apply(state.select_image, opened, 0)[tabs.history.state]
    updates = reuse(selected)
    assert updates[tabs.generate.controls["prompt"]] == "an owl"
    assert updates[tabs.all].selected == "draw"
    selected.selected.path.unlink()
    assert "no longer in the folder" in reuse(selected)[tabs.history.summary]
