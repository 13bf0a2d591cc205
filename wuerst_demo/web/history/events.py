"""Events of the History tab and the handlers they call."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import gradio as gr

from wuerst_demo.history.store import HistoryStore
from wuerst_demo.request import Limits
from wuerst_demo.web.generate.layout import GenerateTab
from wuerst_demo.web.generate.morph import show_first
from wuerst_demo.web.generate.morph_events import MorphHandlers
from wuerst_demo.web.generate.variation import GENERATE_VARIATION_JS
from wuerst_demo.web.history import state
from wuerst_demo.web.history.handlers import HistoryHandlers
from wuerst_demo.web.history.layout import HistoryTab
from wuerst_demo.web.shared.event_options import PRIVATE_EVENT

SERIAL_EVENT: Final[Mapping[str, Any]] = {**PRIVATE_EVENT, "concurrency_id": "history", "concurrency_limit": 1}
"""One event after another, so that a search sees what an earlier look at the folder has found."""


def connect_events(
    history: HistoryStore, limits: Limits, tab: HistoryTab, generate_tab: GenerateTab, tabs: gr.Tabs
) -> None:
    """Connects the tab's events. To be called in the page's context."""
    handlers = HistoryHandlers(history, limits, tab)
    outputs = tab.state_outputs
    tab.container.select(partial(handlers.change, state.open_folder), [tab.state], outputs, **SERIAL_EVENT)
    gr.on(
        [tab.search.change, tab.favourites.change],
        partial(handlers.change, state.search_images),
        [tab.state, tab.search, tab.favourites],
        outputs,
        trigger_mode="always_last",
        **SERIAL_EVENT,
    )
    # "multiple", or an image that is chosen before the last answer is here is ignored, and another one deleted.
    tab.gallery.select(handlers.select, [tab.state], outputs, trigger_mode="multiple", **SERIAL_EVENT)
    tab.gallery.preview_close(partial(handlers.change, state.close_image), [tab.state], outputs, **SERIAL_EVENT)
    for button, change in (
        (tab.newer, state.go_to_newer_page),
        (tab.older, state.go_to_older_page),
        (tab.mark, state.toggle_favourite),
        (tab.delete, state.delete_selected),
        (tab.keep, state.cancel_delete),
    ):
        button.click(partial(handlers.change, change), [tab.state], outputs, **SERIAL_EVENT)
    reuse = partial(handlers.reuse_settings, generate_tab, tabs)
    taken: list[Any] = [tabs, tab.summary, *generate_tab.setting_inputs]
    morph, variation, choices = generate_tab.morph, generate_tab.variation, MorphHandlers(limits, generate_tab)
    varied = tab.vary.click(
        partial(handlers.vary, generate_tab, tabs), [tab.state, variation.level], taken, **SERIAL_EVENT
    )
    varied.then(None, [variation.value], None, js=GENERATE_VARIATION_JS, **PRIVATE_EVENT)
    morphed = tab.morph.click(
        partial(handlers.morph, choices, tabs),
        [tab.state, morph.first, morph.frames],
        [tabs, tab.summary, *choices.outputs],
        **SERIAL_EVENT,
    )
    morphed.then(None, [morph.value], None, js=GENERATE_VARIATION_JS, **PRIVATE_EVENT)
    morph.first.change(lambda first: show_first(first)[-1], [morph.first], [tab.morph], **SERIAL_EVENT)
    tab.use.click(reuse, [tab.state], taken, **SERIAL_EVENT)
