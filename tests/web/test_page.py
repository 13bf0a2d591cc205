"""The page, read from the configuration that browsers and clients get."""

import inspect
from dataclasses import replace

import gradio as gr
import pytest

from tests.fakes.web import LIMITS, fake_context
from wuerst_demo.fields import Number, Switch, Text
from wuerst_demo.history.store import HistoryStore
from wuerst_demo.request import SOURCE_FIELDS, Limits
from wuerst_demo.web.page import build_page


@pytest.fixture(scope="module")
def page():
    return build_page(fake_context())


def props(page, elem_id):
    (component,) = [each for each in page.config["components"] if each["props"].get("elem_id") == elem_id]
    return component["props"]


def test_every_request_field_has_a_control_with_its_label_help_and_bounds(page):
    for name, description in LIMITS.descriptions.items():
        shown = props(page, name.replace("_", "-"))
        # what browsers put into their own language is known by its English
        assert shown["label"].key == description.label
        assert shown["info"].key == description.help
        if isinstance(description, Number):
            assert (shown["minimum"], shown["maximum"]) == (description.least, description.most)
        if isinstance(description, Text):
            assert shown["max_length"] == description.max_chars
        if isinstance(description, Switch) or getattr(description, "default", None):
            assert shown["value"] == description.default


def test_every_control_is_an_input_of_generate(page):
    controls = {name.replace("_", "-") for name in LIMITS.descriptions} | {"new-seed", *SOURCE_FIELDS}
    (drawing,) = [fn for fn in page.fns.values() if fn.name == "generate_images"]
    assert drawing.api_visibility == "private"
    assert {component.elem_id for component in drawing.inputs if component.elem_id} == controls


def test_a_field_with_a_single_allowed_value_has_no_control():
    square = Limits().narrow(width={"least": 256, "most": 256}, height={"least": 256, "most": 256})
    page = build_page(fake_context(limits=square))
    ids = {each["props"].get("elem_id") for each in page.config["components"]}
    assert not ids & {"width", "height"}
    assert "images" in ids


def test_an_event_whose_progress_is_hidden_tells_no_component_of_it(page):
    events = [each for each in page.config["dependencies"] if each["targets"]]  # not the web API's endpoint
    hidden = [each for each in events if each["show_progress"] == "hidden"]
    assert len(hidden) > 50
    assert all(each["show_progress_on"] == [] for each in hidden)


def test_a_text_that_changes_is_the_only_control_of_its_events(page):
    """Gradio's page looks up every control of an event each time the event occurs."""
    (prompt,) = [each["id"] for each in page.config["components"] if each["props"].get("elem_id") == "prompt"]
    targets = [each["targets"] for each in page.config["dependencies"]]
    own = [each for each in targets if any(tuple(target) == (prompt, "change") for target in each)]
    assert own
    assert all(len(each) == 1 for each in own)


def test_no_update_leaves_a_stray_button_on_the_page(page):
    unnamed = [each for each in page.blocks.values() if isinstance(each, gr.Button) and each.value == "Run"]
    assert unnamed == []


def test_the_queue_is_bounded_and_generations_can_be_cancelled(page):
    assert page._queue.max_size is not None
    drawings = [fn for fn in page.fns.values() if fn.concurrency_id == "generate"]
    assert len(drawings) == 4  # the button, the API, and neighbors of the selected image and of the sheet's
    assert all(inspect.isgeneratorfunction(fn.fn) for fn in drawings)


def test_no_image_that_is_chosen_is_ignored_while_an_answer_is_on_its_way(tmp_path):
    page = build_page(replace(fake_context(), history=HistoryStore(tmp_path)))
    ids = {each.elem_id: number for number, each in page.blocks.items() if getattr(each, "elem_id", None)}
    for gallery in ("gallery", "history-gallery"):
        (chosen,) = [fn for fn in page.fns.values() if (ids[gallery], "select") in fn.targets]
        assert chosen.trigger_mode == "multiple"
