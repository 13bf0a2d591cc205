"""Controls of a request's fields: labels, help, bounds and defaults come from the fields' descriptions."""

from __future__ import annotations

from typing import Any

import gradio as gr

from wuerst_demo.fields import Choice, Description, Number, Switch, Text
from wuerst_demo.request import Limits


class RequestControls:
    """The controls of one page by field name. Each is created where it is placed."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self.made[name]

    def add(self, name: str, **options: Any) -> Any:
        """Create the control of one field in the current Gradio context; `options` are the component's.

        Returns None for a field with only one allowed value, which gets no control.
        """
        description = self._limits.descriptions[name]
        if isinstance(description, Number) and description.least == description.most:
            return None
        self.made[name] = _create_component(description, {"elem_id": name.replace("_", "-"), **options})
        return self.made[name]


def _create_component(description: Description, options: dict[str, Any]) -> Any:
    texts = {"label": description.label, "info": description.help, **options}
    match description:
        case Text():
            return gr.Textbox(description.default, max_length=description.max_chars, **texts)
        case Switch():
            return gr.Checkbox(description.default, **texts)
        case Choice():
            return gr.Radio(list(description.choices), value=description.default, **texts)
        case Number(default=None):
            number = gr.Number(
                precision=0, minimum=description.least, maximum=description.most, placeholder="at random", **texts
            )
            number.value = ""  # the browser would show 0 in place of none until an update
            return number
        case Number():
            return gr.Slider(
                description.least, description.most, value=description.default, step=description.step, **texts
            )
