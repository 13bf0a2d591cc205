"""What the page is made of, read from the configuration that browsers and clients get."""

import inspect

import gradio as gr
import pytest

from tests.ui.fakes import LIMITS, studio
from wuerst_demo.request import Limits, Number, Switch, Text
from wuerst_demo.settings import Settings
from wuerst_demo.ui.endpoint import endpoint
from wuerst_demo.ui.page import build
from wuerst_demo.ui.serve import launch_options


@pytest.fixture(scope="module")
def page():
    return build(studio())


def props(page, elem_id):
    (component,) = [each for each in page.config["components"] if each["props"].get("elem_id") == elem_id]
    return component["props"]


def test_every_field_of_a_request_has_a_control_with_its_label_its_help_and_its_bounds(page):
    for name, description in LIMITS.descriptions.items():
        shown = props(page, name.replace("_", "-"))
        # what browsers put into their own language is known by its English
        assert shown["label"].key == description.label
        assert shown["info"].key == description.help
        if isinstance(description, Number):
            assert (shown["minimum"], shown["maximum"]) == (description.least, description.most)
        if isinstance(description, Text):
            assert shown["max_length"] == description.longest
        if isinstance(description, Switch) or getattr(description, "default", None):
            assert shown["value"] == description.default


def test_every_control_goes_into_a_drawing(page):
    controls = {name.replace("_", "-") for name in LIMITS.descriptions} | {"new-seed"}
    (drawing,) = [fn for fn in page.fns.values() if fn.concurrency_id == "drawing" and fn.api_visibility == "private"]
    assert {component.elem_id for component in drawing.inputs if component.elem_id} == controls


def test_a_field_that_can_have_one_value_only_has_no_control():
    square = Limits().narrow(width={"least": 256, "most": 256}, height={"least": 256, "most": 256})
    page = build(studio(limits=square))
    ids = {each["props"].get("elem_id") for each in page.config["components"]}
    assert not ids & {"width", "height"}
    assert "images" in ids


def test_one_endpoint_is_public_and_everything_else_is_private(page):
    assert {fn.api_name for fn in page.fns.values() if fn.fn and fn.api_visibility != "private"} == {"generate"}
    assert set(page.get_api_info()["named_endpoints"]) == {"/generate"}
    assert page.get_api_info()["unnamed_endpoints"] == {}
    assert page.api_open is False


def test_the_endpoints_parameters_are_the_requests_fields_with_their_descriptions(page):
    told = page.get_api_info()["named_endpoints"]["/generate"]
    assert [each["parameter_name"] for each in told["parameters"]] == list(LIMITS.descriptions)
    for each, (name, description) in zip(told["parameters"], LIMITS.descriptions.items(), strict=True):
        assert each["label"] == description.label
        assert each["parameter_has_default"], name
        assert each["parameter_default"] == description.default
        assert description.help in each["python_type"]["description"]
    width = told["parameters"][3]
    assert (width["type"]["minimum"], width["type"]["maximum"]) == (256, 512)
    assert [each["label"] for each in told["returns"]] == ["Pictures", "Requests", "Progress"]


def test_the_endpoint_is_a_documented_generator_with_typed_parameters():
    function = endpoint(studio())
    assert inspect.isgeneratorfunction(function)
    for name, description in LIMITS.descriptions.items():
        assert f"{name}: {description.help}" in function.__doc__
        assert inspect.signature(function).parameters[name].annotation is not inspect.Parameter.empty


def test_no_button_stands_there_that_only_was_to_be_an_update(page):
    unnamed = [each for each in page.blocks.values() if isinstance(each, gr.Button) and each.value == "Run"]
    assert unnamed == []


def test_what_waits_is_bounded_and_what_draws_can_be_cancelled(page):
    assert page._queue.max_size is not None
    drawings = [fn for fn in page.fns.values() if fn.concurrency_id == "drawing"]
    assert len(drawings) == 2
    assert all(inspect.isgeneratorfunction(fn.fn) for fn in drawings)


def test_a_page_in_this_machines_care_shows_no_files_no_faults_and_no_traffic():
    options = launch_options(Settings(), "127.0.0.1", 7860)
    assert options["allowed_paths"] == []
    assert options["auth"] is None
    for closed in ("share", "show_error", "run_history", "enable_monitoring", "ssr_mode"):
        assert options[closed] is False


def test_a_password_may_hold_a_colon():
    options = launch_options(Settings(auth="me:a:b", share=True), "127.0.0.1", 7860)
    assert options["auth"] == ("me", "a:b")
    assert options["share"] is True


def test_the_theme_asks_for_no_fonts():
    theme = launch_options(Settings(), "127.0.0.1", 7860)["theme"]
    assert theme._stylesheets == []
    assert "url(http" not in theme._get_theme_css()
    assert "@font-face" not in theme._get_theme_css()
