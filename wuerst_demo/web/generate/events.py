"""Events of the Generate tab and the handlers they call."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from wuerst_demo.fields import SEED_COUNT
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.generate.handlers import GenerateHandlers, add_style, label_copy_result, reuse_last_seed
from wuerst_demo.web.generate.layout import GenerateTab
from wuerst_demo.web.generate.morph_events import connect_morph
from wuerst_demo.web.generate.sessions import GenerationSessions
from wuerst_demo.web.generate.variation import GENERATE_VARIATION_JS, show_source
from wuerst_demo.web.live.pictures import LivePictures
from wuerst_demo.web.shared.event_options import (
    IDENTIFY_CLIENT_JS,
    IMMEDIATE_EVENT,
    PRIVATE_EVENT,
    REATTACH_EVENT,
)
from wuerst_demo.web.shared.share_link import GRADIO_PARAMETERS
from wuerst_demo.web.shared.static_files import read_static

FIELDS_WITHOUT_COST = ("prompt", "negative_prompt", "weighting", "seed")
"""Fields that do not change how long a request takes."""
GENERATE_CONCURRENCY_ID = "generate"
"""Shared with the API endpoint, so that both count towards the generations that may run at the same time."""
PAGE_LOAD_JS = (
    f"async (owner, tab) => ({IDENTIFY_CLIENT_JS})"
    f"(owner, tab, ({read_static('draft.js')})({json.dumps(GRADIO_PARAMETERS)}))"
)
"""As IDENTIFY_CLIENT_JS, and fills in `GenerateTab.draft`."""
CLICK_GENERATE_JS = "() => { document.getElementById('generate').click(); }"
"""Generates through the button, so that nothing happens while it is disabled."""


def connect_events(
    page: gr.Blocks, context: WebContext, tab: GenerateTab, live_pictures: LivePictures | None = None
) -> None:
    """Connects the tab's events. To be called in the page's context."""
    handlers = GenerateHandlers(context, tab, GenerationSessions(context), live_pictures)
    _connect_restoring(page, handlers)
    _connect_generation(page, handlers)
    _connect_prompt(page, handlers)
    _connect_shortcuts(handlers)
    _connect_folds(page, tab)
    _connect_example_sheet(handlers)
    _connect_selected_image(handlers)
    _connect_drop(handlers)
    connect_morph(context.limits, tab)
    _connect_changes(context, tab)
    if live_pictures:
        _connect_live(handlers)


def _connect_restoring(page: gr.Blocks, handlers: GenerateHandlers) -> None:
    """What was changed while the settings were on their way stays; Generate waits for them (see hold_clicks.js)."""
    tab, descriptions = handlers.tab, handlers.context.limits.descriptions
    restored = page.load(
        handlers.restore_settings,
        [*tab.client_inputs.values(), tab.draft],
        [tab.arrived, tab.restored, *tab.buttons, tab.example_sheet],
        js=PAGE_LOAD_JS,
        **IMMEDIATE_EVENT,
    )
    defaults = [
        descriptions[name].default if name in descriptions else each.value for name, each in tab.settings.items()
    ]
    merge = f"({read_static('merge_settings.js')})({json.dumps([*tab.settings])}, {json.dumps(defaults)})"
    inputs = [tab.arrived, *tab.setting_inputs]
    merged = restored.then(None, inputs, tab.setting_inputs, js=f"(...values) => {merge}(...values)", **PRIVATE_EVENT)
    seed, js = [tab.controls["seed"]], "(seed) => (seed === '' ? null : seed)"  # the text with which the field begins
    failed = restored.failure(None, seed, seed, js=js, **PRIVATE_EVENT)
    for ended in (merged, failed):  # `then` is run after a success alone
        ended.then(None, None, None, js="() => { window.wuerstSettled(); }", **PRIVATE_EVENT)


def _connect_generation(page: gr.Blocks, handlers: GenerateHandlers) -> None:
    tab = handlers.tab
    generation = tab.start.click(
        handlers.generate_images,
        inputs_kwargs={**tab.client_inputs, **tab.controls.made, "new_seed": tab.new_seed},
        outputs=[*tab.view_outputs, tab.controls["seed"], tab.morph.value],
        js=IDENTIFY_CLIENT_JS,
        concurrency_id=GENERATE_CONCURRENCY_ID,
        **PRIVATE_EVENT,
    )
    page_load = page.load(
        handlers.follow_generation,
        [*tab.client_inputs.values()],
        tab.view_outputs,
        **REATTACH_EVENT,
    )
    tab.connect_stop(handlers.sessions, tab.client_inputs.values())
    priced = {name: control for name, control in tab.controls.made.items() if name not in FIELDS_WITHOUT_COST}
    estimate: dict[str, Any] = {
        "fn": handlers.estimate,
        "inputs_kwargs": priced,
        "outputs": [tab.estimate],
        **IMMEDIATE_EVENT,
    }
    gr.on([page.load, *(control.change for control in priced.values())], trigger_mode="always_last", **estimate)
    tab.enable_after(generation)
    tab.reset_buttons_after(generation, page_load)
    for event in (generation, page_load):
        event.then(**estimate)
    if tab.live_switch:
        page_load.then(None, None, None, js="() => { window.wuerstLive.restore(); }", **PRIVATE_EVENT)


def _connect_prompt(page: gr.Blocks, handlers: GenerateHandlers) -> None:
    tab = handlers.tab
    prompt, weighting = tab.controls["prompt"], tab.controls["weighting"]
    prompt.submit(None, None, None, js=CLICK_GENERATE_JS, **PRIVATE_EVENT)
    prompt.change(None, None, None, js=read_static("report_prompt.js"), **PRIVATE_EVENT)
    gr.on(
        [page.load, tab.report.click, weighting.change],
        handlers.read_prompt,
        [prompt, weighting],
        [tab.highlights, tab.summary],
        trigger_mode="always_last",
        **IMMEDIATE_EVENT,
    )


def _connect_shortcuts(handlers: GenerateHandlers) -> None:
    """Shortcuts that only move values act in the browser alone."""
    tab, controls = handlers.tab, handlers.tab.controls
    prompt = controls["prompt"]
    seeds = [controls["seed"], tab.new_seed]
    if tab.surprise:
        tab.surprise.click(handlers.surprise, [prompt], [prompt], **IMMEDIATE_EVENT)
    if tab.style:
        both = [prompt, tab.style]
        tab.style.input(add_style, both, both, **IMMEDIATE_EVENT)
    if tab.swap_sides:
        sides = [controls["width"], controls["height"]]
        for size, button in tab.sizes.items():
            button.click(None, None, sides, js=f"() => [{size.width}, {size.height}]", **PRIVATE_EVENT)
        tab.swap_sides.click(None, sides, sides, js="(width, height) => [height, width]", **PRIVATE_EVENT)
    random_seed_js = f"() => [Math.floor(Math.random() * {SEED_COUNT}), false]"
    tab.random_seed.click(None, None, seeds, js=random_seed_js, **PRIVATE_EVENT)
    tab.last_seed.click(reuse_last_seed, [tab.newest_images], seeds, **IMMEDIATE_EVENT)
    defaults = tuple(handlers.context.limits.descriptions[name].default for name in tab.reset_fields)
    reset = [controls[name] for name in tab.reset_fields]
    tab.reset.click(lambda: defaults, None, reset, **IMMEDIATE_EVENT)


def _connect_folds(page: gr.Blocks, tab: GenerateTab) -> None:
    """In the browser alone: panels whose settings are set open by themselves, and the shape in use is marked."""
    panels: dict[str, tuple[Any, str]] = {
        "seed-panel": (tab.new_seed, "!value"),
        "negative-panel": (tab.controls["negative_prompt"], "value"),
    }
    for panel, (control, used) in panels.items():
        js = f"(value) => {{ if ({used}) window.wuerstUnfold('{panel}'); }}"
        control.change(None, [control], None, js=js, **PRIVATE_EVENT)
    js = "(value) => { if (!value) window.wuerstUnfold('negative-panel'); }"
    tab.controls["weighting"].change(None, [tab.controls["weighting"]], None, js=js, **PRIVATE_EVENT)
    if tab.sizes:
        sides = [tab.controls["width"], tab.controls["height"]]
        shapes = json.dumps({size.elem_id: (size.width, size.height) for size in tab.sizes})
        js = f"(width, height) => {{ window.wuerstShowSize(width, height, {shapes}); }}"
        gr.on([page.load, *(side.change for side in sides)], None, sides, None, js=js, **PRIVATE_EVENT)


def _connect_example_sheet(handlers: GenerateHandlers) -> None:
    tab = handlers.tab
    chosen = tab.example_sheet.click(
        handlers.choose_example, None, [*tab.setting_inputs, tab.restored], **IMMEDIATE_EVENT
    )
    chosen.then(None, None, None, js=CLICK_GENERATE_JS, **PRIVATE_EVENT)


def _connect_selected_image(handlers: GenerateHandlers) -> None:
    tab = handlers.tab
    outputs = [*tab.setting_inputs, tab.restored]
    image: list[Any] = [tab.newest_images, tab.selected_position]
    tab.gallery.select(
        handlers.select_image,
        [tab.newest_images],
        [*tab.selected_outputs, tab.details],
        trigger_mode="multiple",  # or an image that is chosen before the last answer is here is ignored
        **IMMEDIATE_EVENT,
    )
    tab.reuse_settings.click(handlers.reuse_settings, image, outputs, **IMMEDIATE_EVENT)
    renewed = tab.generate_variation.click(handlers.renew_image, image, outputs, **IMMEDIATE_EVENT)
    renewed.then(None, None, None, js=CLICK_GENERATE_JS, **PRIVATE_EVENT)
    _connect_variation(handlers, image, outputs)
    _connect_neighbors(handlers)
    tab.copy_link.click(
        label_copy_result,
        [tab.selected_link],
        [tab.copy_link],
        js=read_static("copy_link.js"),
        **IMMEDIATE_EVENT,
    )


def _connect_neighbors(handlers: GenerateHandlers) -> None:
    """The button explores around the selected image, a click on the sheet around one of its images."""
    tab = handlers.tab
    inputs = [*tab.client_inputs.values(), tab.variation.level, tab.selected_position]
    options: dict[str, Any] = {"js": IDENTIFY_CLIENT_JS, "concurrency_id": GENERATE_CONCURRENCY_ID, **PRIVATE_EVENT}
    explored = (
        tab.variation.neighbors.click(handlers.explore_selected, inputs, tab.view_outputs, **options),
        tab.neighbor_sheet.click(handlers.explore_sheet, inputs[:-1], tab.view_outputs, **options),
    )
    tab.enable_after(*explored)
    tab.reset_buttons_after(*explored)


def _connect_variation(handlers: GenerateHandlers, image: list[Any], outputs: list[Any]) -> None:
    controls = handlers.tab.variation
    # A picture that cannot be varied says so, and nothing is generated from noise in its place.
    varied = controls.vary.click(handlers.vary_image, [*image, controls.level], outputs, **IMMEDIATE_EVENT)
    varied.then(None, [controls.value], None, js=GENERATE_VARIATION_JS, **PRIVATE_EVENT)
    controls.open_region.click(handlers.open_region, image, [controls.region, handlers.tab.restored], **IMMEDIATE_EVENT)
    redrawn = controls.region.click(handlers.redraw_region, image[:1], [*outputs, controls.region], **IMMEDIATE_EVENT)
    redrawn.then(None, [controls.value], None, js=GENERATE_VARIATION_JS, **PRIVATE_EVENT)
    dropped = controls.vary_dropped.click(
        handlers.vary_dropped, [controls.dropped, controls.level], outputs, **IMMEDIATE_EVENT
    )
    dropped.then(None, [controls.value], None, js=GENERATE_VARIATION_JS, **PRIVATE_EVENT)
    sources = [controls.value, handlers.tab.morph.value]
    controls.clear.click(lambda: (None, None), None, sources, **IMMEDIATE_EVENT)
    gr.on(
        [each.change for each in sources],
        show_source,
        sources,
        [controls.source, controls.note],
        trigger_mode="always_last",
        **IMMEDIATE_EVENT,
    )


def _connect_drop(handlers: GenerateHandlers) -> None:
    tab = handlers.tab
    # With Gradio's preprocessing, which rejects paths of files that this client has not uploaded.
    options = {**PRIVATE_EVENT, "preprocess": True}
    variation = [tab.variation.dropped, tab.variation.vary_dropped, tab.morph.dropped]
    outputs = [tab.dropped_file, tab.restored, *variation, *tab.setting_inputs]
    tab.dropped_file.upload(handlers.drop_file, [tab.dropped_file], outputs, **options)


def _connect_live(handlers: GenerateHandlers) -> None:
    """The browser draws live pictures through the route of `LiveService`; only one that is kept is an event."""
    tab = handlers.tab
    assert tab.live_switch
    assert tab.live_view
    turn = f"(on, ...values) => window.wuerstLive.turn(on, {_settings_by_name(tab)})"
    seeds = [tab.controls["seed"], tab.new_seed]
    tab.live_switch.input(None, [tab.live_switch, *tab.setting_inputs], seeds, js=turn, **PRIVATE_EVENT)
    tab.live_view.keep.click(
        handlers.keep_live,
        [*tab.client_inputs.values(), tab.live_view.picture_id],
        tab.view_outputs,
        js=f"async (owner, tab) => ({IDENTIFY_CLIENT_JS})(owner, tab, window.wuerstLive.shown)",
        **IMMEDIATE_EVENT,
    )


def _connect_changes(context: WebContext, tab: GenerateTab) -> None:
    """The browser keeps all settings, so that they outlast a reload of the page, and live pictures follow them.

    Texts have events of their own: each time an event occurs, Gradio searches the page for every control that it
    belongs to.
    """
    keep = f"window.wuerstKeep?.({{...settings, checkpoint: {json.dumps(context.checkpoint.title)}}});"
    follow = "window.wuerstLive.set(settings);" if tab.live_switch else ""
    js = f"(...values) => {{ const settings = {_settings_by_name(tab)}; {keep} {follow} }}"
    texts = [tab.controls["prompt"], tab.controls["negative_prompt"]]
    others = [each for each in tab.setting_inputs if each not in texts]
    for changed in (others, *([text] for text in texts)):
        gr.on([each.change for each in changed], None, tab.setting_inputs, None, js=js, **PRIVATE_EVENT)


def _settings_by_name(tab: GenerateTab) -> str:
    """JavaScript: an object of the array `values`, those of `GenerateTab.setting_inputs`."""
    return f"Object.fromEntries({json.dumps([*tab.settings])}.map((name, at) => [name, values[at]]))"
