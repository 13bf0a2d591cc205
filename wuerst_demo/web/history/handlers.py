"""Handlers of the History tab: a change of its state in, updates of the tab's components out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

import gradio as gr

from wuerst_demo.errors import MetadataError
from wuerst_demo.history.store import IMAGE_GONE_MESSAGE, HistoryImage, HistoryStore
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.images.parsed_settings import ParsedSettings
from wuerst_demo.messages import message
from wuerst_demo.request import Limits
from wuerst_demo.web.generate.layout import GenerateTab
from wuerst_demo.web.generate.morph import choose_picture
from wuerst_demo.web.generate.morph_events import MorphHandlers
from wuerst_demo.web.generate.variation import parse_level
from wuerst_demo.web.history.layout import HistoryTab
from wuerst_demo.web.history.state import HistoryState, close_image, render_summary, select_image
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.shared.event_options import Updates
from wuerst_demo.web.shared.html import definition_list, notes_list, request_rows
from wuerst_demo.web.shared.view import ErrorCatcher, error_message

StateChange = Callable[..., HistoryState]
"""One of the changes in `state`."""


@dataclass(frozen=True)
class HistoryHandlers:
    """The handlers of a tab over a store of images."""

    history: HistoryStore
    limits: Limits
    tab: HistoryTab

    def change(self, change: StateChange, state: HistoryState, *inputs: object) -> Updates:
        """Applies a change. If it fails, the state stays as it was."""
        with ErrorCatcher() as caught:
            after = change(self.history, state, *inputs)
            # An image that the user closed is closed already, and another may be open by now.
            close = state.selected is not None and after.selected is None and change is not close_image
            new_page = state.images != after.images or state.page_starts != after.page_starts
            return self._render_state(after, update_gallery=close or new_page)
        assert caught.error is not None
        return {self.tab.summary: render_summary(state, error_message(caught.error))}

    def select(self, state: HistoryState, event: gr.SelectData) -> Updates:
        """Opens the image of the gallery that was clicked."""
        return self.change(select_image, state, event.index)

    def reuse_settings(self, generate_tab: GenerateTab, tabs: gr.Tabs, state: HistoryState) -> Updates:
        """Takes the selected image's settings to the Generate tab."""
        if state.selected is None:
            return {self.tab.summary: render_summary(state)}
        with ErrorCatcher() as caught:
            values, _ = read_image_settings(self.history.image(state.selected.id).path).fit(self.limits)
            return {tabs: gr.Tabs(selected="draw"), **generate_tab.fill(values)}
        assert caught.error is not None
        return {self.tab.summary: render_summary(state, error_message(caught.error))}

    def vary(self, generate_tab: GenerateTab, tabs: gr.Tabs, state: HistoryState, level: object) -> Updates:
        """Sets the controls of the Generate tab to vary the selected image, and goes there."""
        if state.selected is None:
            return {self.tab.summary: render_summary(state)}
        with ErrorCatcher() as caught:
            settings = read_image_settings(self.history.image(state.selected.id).path)
            values, _ = ParsedSettings(settings.vary(parse_level(level))).fit(self.limits)
            del values["images"]
            return {tabs: gr.Tabs(selected="draw"), **generate_tab.fill({**values, "seed": None})}
        assert caught.error is not None
        return self._report(state, caught.error, generate_tab.variation.value)

    def morph(
        self, generate: MorphHandlers, tabs: gr.Tabs, state: HistoryState, first: object, frames: object
    ) -> Updates:
        """Chooses the selected image for a morph. With the second one it goes to the Generate tab."""
        if state.selected is None:
            return {self.tab.summary: render_summary(state)}
        with ErrorCatcher() as caught:
            settings = read_image_settings(self.history.image(state.selected.id).path)
            choice = choose_picture(first, settings, frames, self.limits)
            updates = generate.apply(choice)
            if choice.values:
                return {tabs: gr.Tabs(selected="draw"), **updates}
            if choice.notes:
                return {**updates, self.tab.summary: render_summary(state, choice.notes[0])}
            chosen = message("Chosen. Now open the other picture and press Morph to this.")
            return {**updates, self.tab.summary: render_summary(state, news=chosen)}
        assert caught.error is not None
        return self._report(state, caught.error, generate.tab.morph.value)

    def _report(self, state: HistoryState, error: Exception, source: gr.JSON) -> Updates:
        """The error in the tab, and nothing for the next request to go on from."""
        return {self.tab.summary: render_summary(state, error_message(error)), source: None}

    def _render_state(self, state: HistoryState, update_gallery: bool) -> Updates:
        """Updates that show a state. An update of the gallery closes the image that is open in it."""
        tab, selected = self.tab, state.selected
        favourite, visible = selected is not None and selected.favourite, selected is not None
        delete_label = translate("Delete permanently" if state.delete_pressed else "Delete")
        updates: Updates = {
            tab.state: state,
            tab.summary: render_summary(state),
            tab.newer: gr.Button(interactive=len(state.page_starts) > 1),
            tab.older: gr.Button(interactive=state.next_start is not None),
            tab.details: _render_details(selected, self.limits) if selected else "",
            tab.use: gr.Button(visible=visible),
            tab.vary: gr.Button(visible=visible),
            tab.morph: gr.Button(visible=visible),
            tab.mark: gr.Button(translate("★ Not a favourite" if favourite else "☆ Favourite"), visible=visible),
            tab.delete: gr.Button(delete_label, visible=visible),
            tab.keep: gr.Button(visible=visible and state.delete_pressed),
        }
        if update_gallery:
            index = [each.id for each in state.images].index(selected.id) if selected else None
            # Copies that the page may serve: the history's folder itself is not served.
            copy = tab.gallery.move_resource_to_block_cache
            images = [(str(copy(str(each.path))), _image_caption(each)) for each in state.images]
            updates[tab.gallery] = gr.Gallery(images, selected_index=index)
        return updates


def _image_caption(image: HistoryImage) -> str:
    taken = datetime(1970, 1, 1) + timedelta(microseconds=image.id)
    return f"{'★ ' if image.favourite else ''}{taken:%Y-%m-%d %H:%M}"


def _render_details(image: HistoryImage, limits: Limits) -> str:
    """Settings, program and file name of an image, as HTML."""
    try:
        settings = read_image_settings(image.path)
    except MetadataError:
        return f"<p>{escape(translate(IMAGE_GONE_MESSAGE))}</p>"
    values, rejected = settings.fit(limits)
    source = (settings.program, settings.checkpoint or translate("unnamed checkpoint"), image.path.name)
    rows = request_rows(limits.request(values), limits, without=limits.descriptions.keys() - values)
    return f"{definition_list(rows)}<p>{', '.join(map(escape, source))}</p>{notes_list(rejected)}"
