"""Controls of a request's fields."""

import gradio as gr

from tests.fakes.web import LIMITS
from wuerst_demo.fields import Number, Switch, Text
from wuerst_demo.request import Limits
from wuerst_demo.web.shared.request_controls import RequestControls


def controls_of(limits):
    controls = RequestControls(limits)
    with gr.Blocks():
        for name in limits.descriptions:
            controls.add(name)
    return controls.made


def test_every_field_has_a_control_with_its_label_help_bounds_and_default():
    controls = controls_of(LIMITS)
    assert list(controls) == list(LIMITS.descriptions)
    for name, description in LIMITS.descriptions.items():
        control = controls[name]
        assert (control.label, control.info) == (description.label, description.help)
        assert control.elem_id == name.replace("_", "-")
        if isinstance(description, Number):
            assert (control.minimum, control.maximum) == (description.least, description.most)
        if isinstance(description, Text):
            assert control.max_length == description.max_chars
        if isinstance(description, Switch) or getattr(description, "default", None):
            assert control.value == description.default


def test_a_field_with_a_single_allowed_value_has_no_control():
    square = Limits().narrow(width={"least": 256, "most": 256}, height={"least": 256, "most": 256})
    assert set(Limits().descriptions) - set(controls_of(square)) == {"width", "height"}


def test_options_go_to_the_component():
    controls = RequestControls(LIMITS)
    with gr.Blocks():
        prompt = controls.add("prompt", lines=3, elem_id="other")
    assert (prompt.lines, prompt.elem_id) == (3, "other")
    assert controls["prompt"] is prompt
