"""Events of the Compare tab and the handlers they call."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from wuerst_demo.request import SOURCE_FIELDS
from wuerst_demo.web.compare.handlers import CompareHandlers, axis_values_js
from wuerst_demo.web.compare.image_slider import update_choices, update_slider
from wuerst_demo.web.compare.layout import CompareTab
from wuerst_demo.web.compare.sessions import ComparisonSessions
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.generate.layout import GenerateTab
from wuerst_demo.web.shared.event_options import (
    IDENTIFY_CLIENT_JS,
    IMMEDIATE_EVENT,
    PRIVATE_EVENT,
    REATTACH_EVENT,
)

MAX_CONCURRENT_COMPARISONS = 16
"""Comparisons submitted and followed at the same time; re-attached ones are counted apart."""


def connect_events(page: gr.Blocks, context: WebContext, tab: CompareTab, generate_tab: GenerateTab) -> None:
    """Connects the tab's events. To be called in the page's context."""
    handlers = CompareHandlers(context, tab, ComparisonSessions(context))
    client, inputs = generate_tab.client_inputs, {**generate_tab.controls.made, **tab.fields}
    for name in SOURCE_FIELDS:  # a comparison starts from noise
        del inputs[name]
    comparison = tab.start.click(
        handlers.compare,
        inputs_kwargs={**client, **inputs},
        outputs=tab.view_outputs,
        js=IDENTIFY_CLIENT_JS,
        concurrency_limit=MAX_CONCURRENT_COMPARISONS,
        **PRIVATE_EVENT,
    )
    page_load = page.load(
        handlers.load_page,
        [*client.values()],
        [*tab.view_outputs, *tab.fields.values()],
        **REATTACH_EVENT,
    )
    tab.connect_stop(handlers.sessions, client.values())
    estimate: dict[str, Any] = {
        "fn": handlers.estimate,
        "inputs_kwargs": inputs,
        "outputs": [tab.estimate],
        **IMMEDIATE_EVENT,
    }
    axes = (tab.across, tab.down)
    changes = [tab.prompt.change, *(control.change for axis in axes for control in (axis.name, axis.values))]
    gr.on([tab.container.select, *changes], trigger_mode="always_last", **estimate)
    tab.enable_after(comparison)
    tab.reset_buttons_after(comparison, page_load)
    for event in (comparison, page_load):
        event.then(**estimate)  # by now the engine knows how long such images take
    for axis in axes:
        # In the browser, so that no answer overwrites what was typed meanwhile; not when the page sets the axis.
        js = axis_values_js(context.limits)
        axis.name.input(None, [axis.name], [axis.values], js=js, **PRIVATE_EVENT)
    copy_prompt_js = "(own, other) => own || other"
    prompts = [tab.prompt, generate_tab.controls["prompt"]]
    tab.container.select(None, prompts, [tab.prompt], js=copy_prompt_js, **PRIVATE_EVENT)
    _connect_image_slider(tab, generate_tab, comparison, page_load)


def _connect_image_slider(tab: CompareTab, generate_tab: GenerateTab, comparison: Any, page_load: Any) -> None:
    slider = tab.image_slider
    inputs = [generate_tab.gallery, tab.table, *slider.sides]
    outputs = [slider.empty, slider.choice, *slider.sides, slider.slider]
    for events, reset in (
        ((generate_tab.newest_images.change, tab.container.select), False),
        ((comparison.then, page_load.then), True),
    ):
        for event in events:
            event(partial(update_choices, reset), inputs, outputs, **IMMEDIATE_EVENT)
    gr.on([side.change for side in slider.sides], update_slider, inputs, [slider.slider], **IMMEDIATE_EVENT)
