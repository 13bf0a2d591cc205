"""Descriptions of a request's fields, made into controls. Labels, help, bounds and defaults come from there alone.

Does not know what happens to the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import gradio as gr

from wuerst_demo.request import Choice, Description, Limits, Number, Switch, Text

# Events of the page itself: not part of the API. Values come as they were sent, and the handlers check them.
OWN: Final[Mapping[str, Any]] = {"api_visibility": "private", "show_progress": "hidden", "preprocess": False}


class Controls:
    """The controls of one page, by field name, made one after another where they are to stand."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self.made[name]

    def add(self, name: str, **options: Any) -> Any:
        """The control of one field, in the current Gradio context; `options` go to the component.

        A field that can have only one value gets none: it would do nothing. Its default goes without saying.
        """
        description = self._limits.descriptions[name]
        if isinstance(description, Number) and description.least == description.most:
            return None
        self.made[name] = _component(description, {"elem_id": name.replace("_", "-"), **options})
        return self.made[name]


def _component(description: Description, options: dict[str, Any]) -> Any:
    said = {"label": description.label, "info": description.help, **options}
    match description:
        case Text():
            return gr.Textbox(description.default, max_length=description.longest, **said)
        case Switch():
            return gr.Checkbox(description.default, **said)
        case Choice():
            return gr.Radio(list(description.choices), value=description.default, **said)
        case Number(default=None):
            return gr.Number(
                precision=0, minimum=description.least, maximum=description.most, placeholder="at random", **said
            )
        case Number():
            return gr.Slider(
                description.least, description.most, value=description.default, step=description.step, **said
            )
