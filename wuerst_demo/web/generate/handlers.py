"""Handlers of the Generate tab: user input in, updates of the tab's components out."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import gradio as gr

from wuerst_demo.errors import WuerstError
from wuerst_demo.images.parsed_settings import ParsedSettings
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.generate.example_sheet import EXAMPLES_HINT, render_example_sheet
from wuerst_demo.web.generate.image_html import render_image_details, render_tiles
from wuerst_demo.web.generate.layout import COPY_LINK_LABEL, GenerateTab
from wuerst_demo.web.generate.morph import gallery_and_files, is_another_prompt
from wuerst_demo.web.generate.neighbors import neighbor_values, render_neighbor_sheet
from wuerst_demo.web.generate.presets import apply_style
from wuerst_demo.web.generate.prompt_readout import PromptHighlights, describe_prompt, describe_rejection
from wuerst_demo.web.generate.region import region_values, render_region
from wuerst_demo.web.generate.restore import (
    RestoredImage,
    restore_from_draft,
    restore_from_image,
    restore_from_link,
)
from wuerst_demo.web.generate.sessions import GenerationOptions, GenerationSessions
from wuerst_demo.web.generate.variation import CANNOT_VARY_MESSAGE, parse_level, varied_values
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.live.pictures import LivePictures
from wuerst_demo.web.middleware.client_address import client_address
from wuerst_demo.web.shared.event_options import Updates
from wuerst_demo.web.shared.generation import FinishedImage, GenerationView, selected_image
from wuerst_demo.web.shared.html import (
    generation_status,
    notes_list,
    request_details,
    restore_notes,
    status_line,
    time_estimate,
)
from wuerst_demo.web.shared.sessions import ClientTab
from wuerst_demo.web.shared.share_link import encode_link
from wuerst_demo.web.shared.view import ErrorCatcher, error_message

IMAGES_FORGOTTEN_MESSAGE = (
    "The server no longer has the settings of these pictures, but their files do: drop one of them on the page."
)
LIVE_PICTURE_FORGOTTEN_MESSAGE = "The server no longer has this picture; change something to draw it again."
NewestImages = Sequence[FinishedImage] | None
"""Value of `GenerateTab.newest_images`."""


@dataclass(frozen=True)
class GenerateHandlers:
    """The handlers that need the checkpoint, the engine or the tab's components."""

    context: WebContext
    tab: GenerateTab
    sessions: GenerationSessions
    live_pictures: LivePictures | None = None

    def restore_settings(self, request: gr.Request, owner: object, tab_name: object, draft: object) -> Updates:
        """The settings of a page that is loaded, and its buttons.

        The settings are, first to last: what was set in the tab before it was reloaded, the request of a generation
        that was submitted after the page's link was opened, the link. A generation that this page has already
        submitted, while this event was on its way, is left alone.
        """
        tab, limits = self.tab, self.context.limits
        client, page = ClientTab.from_browser(owner, tab_name), request.session_hash or ""
        link, notes = restore_from_link(request.query_params, limits)
        options = self.sessions.options(client)
        if page and options is not None and options.page == page:
            return {tab.restored: notes}
        kept = restore_from_draft(draft, limits, self.context.checkpoint.title)
        # A number field without a value starts as 0; only an update leaves it empty.
        settings: dict[str, object] = {"seed": None, **tab.select_settings({**link, **kept})}
        view = self.sessions.view(client)
        if view and view.request and options and not (link and options.link != link):
            shown = view.middle.request if view.middle else view.request
            values = {**link, **shown.to_dict(), "new_seed": options.new_seed, **kept}
            settings, notes = tab.select_settings(values), ""
        buttons = tab.update_buttons(running=view is not None and not view.over)
        return {tab.arrived: json.dumps(settings), tab.restored: notes, **buttons, **self._new_examples()}

    def follow_generation(self, request: gr.Request, owner: object, tab_name: object) -> Iterator[Updates]:
        """Re-attaches a page that is loaded to the generation of its tab, unless the page itself has submitted it."""
        client = ClientTab.from_browser(owner, tab_name)
        views = self.sessions.resume(client, request.session_hash or "")
        yield from self._render_without_seed(views, reattached=True)

    def _new_examples(self) -> Updates:
        """The example sheet, if there are more pictures than when the page was built."""
        requests, read = self.tab.example_requests, self.context.example_picture
        if all(read(each) == before for each, before in zip(requests, self.tab.example_pictures, strict=True)):
            return {}
        return {self.tab.example_sheet: render_example_sheet(requests, read, translate(EXAMPLES_HINT))}

    def generate_images(  # not "generate": the API endpoint needs that name
        self, request: gr.Request, owner: object, tab_name: object, new_seed: object, **values: object
    ) -> Iterator[Updates]:
        """Generates the `values` of the controls, by field name."""
        if new_seed:
            values["seed"] = None
        if is_another_prompt(values.get("morph"), values.get("prompt")):
            values["morph"] = None
            yield {self.tab.morph.value: None}
        link, _ = restore_from_link(request.query_params, self.context.limits)
        options = GenerationOptions(link, bool(new_seed), request.session_hash or "", client_address(request))
        for updates, _ in self._render_views(
            self.sessions.generate(ClientTab.from_browser(owner, tab_name), values, options)
        ):
            yield updates

    def keep_live(self, request: gr.Request, owner: object, tab_name: object, picture_id: object) -> Updates:
        """Adds the live picture that the browser shows to the pictures of the tab."""
        client = ClientTab.from_browser(owner, tab_name)
        result = self.live_pictures.find(client, picture_id) if self.live_pictures else None
        if result is None:
            return {self.tab.status: status_line("rejected", LIVE_PICTURE_FORGOTTEN_MESSAGE)}
        view = self.sessions.keep(client, result, request.session_hash or "")
        updates: Updates = {self.tab.status: generation_status(view)}
        if not view.images:
            return updates
        updates[self.tab.neighbor_sheet] = ""
        return updates | self._render_images(view, view.images) | self._select_image(view.images, len(view.images) - 1)

    def _render_views(
        self, views: Iterator[GenerationView], reattached: bool = False
    ) -> Iterator[tuple[Updates, GenerationView]]:
        tab, shown = self.tab, None
        with closing(cast("Generator[GenerationView]", views)):
            sheet: str | None = None
            for view in views:
                # Each answer sets the buttons: when a busy browser lost one, Stop stayed disabled to the end.
                buttons = tab.update_buttons(running=not view.over, enable=reattached)
                updates: Updates = {tab.status: generation_status(view), **buttons}
                if view.request is not None:  # a rejected request leaves the last images on the page
                    updates[tab.tiles] = "" if view.middle else render_tiles(view)
                    if sheet != (sheet := render_neighbor_sheet(view)):
                        updates[tab.neighbor_sheet] = sheet
                    if shown is None:
                        updates[tab.controls["seed"]] = view.request.seed
                    if view.shown_images != shown:
                        updates |= self._render_images(view, shown or ())
                        shown = view.shown_images
                yield updates, view

    def _render_images(self, view: GenerationView, before: tuple[FinishedImage, ...]) -> Updates:
        tab, images = self.tab, view.shown_images
        updates: Updates = {tab.newest_images: images}
        if not images:
            # An enlarged image of the last generation would turn into one of this, and take the focus from the prompt.
            updates |= {tab.gallery: gr.Gallery([], selected_index=None, elem_classes=[]), tab.files: []}
            return updates | {tab.details: request_details(view, self.context.limits)}
        updates[tab.gallery], updates[tab.files] = gallery_and_files(view)
        # The first image is selected until another is clicked, so its prompt is parsed once.
        return updates | (self._select_image(images, 0) if before[:1] != images[:1] else {})

    def _select_image(self, images: Sequence[FinishedImage], position: int) -> Updates:
        return {
            self.tab.variation.region: "",
            self.tab.copy_link: translate(COPY_LINK_LABEL),
            self.tab.selected_position: position,
            self.tab.selected_link: encode_link(images[position].request, self.context.limits),
            self.tab.details: render_image_details(images[position], position, self.context),
        }

    def select_image(self, event: gr.SelectData, newest_images: NewestImages) -> Updates:
        """Shows the image of the gallery that was clicked."""
        position, reset = event.index, {self.tab.copy_link: translate(COPY_LINK_LABEL)}
        if not newest_images:
            details = notes_list((IMAGES_FORGOTTEN_MESSAGE,))
            return {**reset, self.tab.selected_link: "", self.tab.details: details}
        if not isinstance(position, int) or not 0 <= position < len(newest_images):
            return {**reset}
        return self._select_image(newest_images, position)

    async def read_prompt(self, request: gr.Request, prompt: object, weighting: object) -> Updates:
        """The read-out of the prompt."""
        with ErrorCatcher() as caught:
            read = partial(self._highlight_prompt, prompt, weighting)
            highlights = await self.context.prompt_reads.run(client_address(request), read)
        if caught.error:
            highlights = describe_rejection(error_message(caught.error))
        spans = gr.HighlightedText(list(highlights.spans), color_map=highlights.colors, visible=highlights.weighted)
        return {self.tab.highlights: spans, self.tab.summary: highlights.summary}

    def _highlight_prompt(self, prompt: object, weighting: object) -> PromptHighlights:
        checkpoint = self.context.checkpoint
        request = self.context.limits.request({"prompt": prompt, "weighting": weighting})
        readout = self.context.parse_prompt(request.prompt, request.weighting)
        return describe_prompt(readout, checkpoint.vocabulary, checkpoint.object_count)

    def estimate(self, **values: object) -> str:
        """How long the settings would take now; "" where that is unknown."""
        try:
            request = self.context.limits.request(values)
        except WuerstError:  # it is reported when the request is submitted
            return ""
        engine = self.context.engine
        return time_estimate(engine.estimate(request), sum(engine.stage_counts.values()))

    def surprise(self, prompt: object, choose: Callable[[Sequence[str]], str] = random.choice) -> str:
        """Another of the example prompts."""
        examples = self.context.checkpoint.examples
        return choose([each for each in examples if each != prompt] or examples)

    def choose_example(self, event: gr.EventData) -> Updates:
        """Sets the controls to the request of the example that was clicked."""
        requests = self.tab.example_requests
        number = event._data.get("example") if isinstance(event._data, dict) else None
        if type(number) is not int or not 0 <= number < len(requests):
            return {self.tab.restored: gr.skip()}
        return self.tab.fill(requests[number].to_dict()) | {self.tab.restored: ""}

    def reuse_settings(self, newest_images: NewestImages, position: object) -> Updates:
        """Sets the controls to the selected image's settings."""
        if not newest_images:
            return {self.tab.restored: restore_notes("", (IMAGES_FORGOTTEN_MESSAGE,))}
        return self.tab.fill(selected_image(newest_images, position).request.to_dict())

    def explore_selected(
        self, request: gr.Request, owner: object, tab_name: object, level: object, position: object
    ) -> Iterator[Updates]:
        """Generates the neighbors of the selected image."""
        client = ClientTab.from_browser(owner, tab_name)
        view = self.sessions.view(client)
        middle = selected_image(view.shown_images, position) if view and view.shown_images else None
        yield from self._explore(request, client, middle, level)

    def explore_sheet(
        self, request: gr.Request, event: gr.EventData, owner: object, tab_name: object, level: object
    ) -> Iterator[Updates]:
        """Generates the neighbors of the clicked image of the sheet, or goes back to an earlier view."""
        client, click = ClientTab.from_browser(owner, tab_name), event._data if isinstance(event._data, dict) else {}
        if type(position := click.get("back")) is int:
            earlier = self.sessions.go_back(client, position)
            yield from self._render_without_seed(view for view in (earlier,) if view)
            return
        view = self.sessions.view(client)
        images = view.shown_images if view else ()
        middle = next((each for each in images if each.index == click.get("image")), None)
        yield from self._explore(request, client, middle, level)

    def _explore(
        self, request: gr.Request, client: ClientTab, middle: FinishedImage | None, level: object
    ) -> Iterator[Updates]:
        values = neighbor_values(middle, level) if middle else None
        if values is None:
            said = CANNOT_VARY_MESSAGE if middle else IMAGES_FORGOTTEN_MESSAGE
            yield {self.tab.status: status_line("rejected", said)}
            return
        options = GenerationOptions({}, True, request.session_hash or "", client_address(request))
        yield from self._render_without_seed(self.sessions.generate(client, values, options, middle))

    def _render_without_seed(self, views: Iterator[GenerationView], reattached: bool = False) -> Iterator[Updates]:
        yield {self.tab.status: gr.skip()}  # Gradio would empty the outputs of a handler that yields nothing
        for updates, _ in self._render_views(views, reattached):
            updates.pop(self.tab.controls["seed"], None)
            yield updates

    def vary_image(self, newest_images: NewestImages, position: object, level: object) -> Updates:
        """Sets the controls to vary the selected image; the number of images stays as set."""
        values = varied_values(newest_images, position, level) if newest_images else None
        if values is None:
            said = CANNOT_VARY_MESSAGE if newest_images else IMAGES_FORGOTTEN_MESSAGE
            return {self.tab.restored: restore_notes("", (said,)), self.tab.variation.value: None}
        del values["images"]
        return self.tab.fill(values)

    def open_region(self, newest_images: NewestImages, position: object) -> Updates:
        """Opens the editor of a region of the selected image."""
        if newest_images and (shown := render_region(selected_image(newest_images, position))):
            return {self.tab.variation.region: shown}
        said = CANNOT_VARY_MESSAGE if newest_images else IMAGES_FORGOTTEN_MESSAGE
        return {self.tab.restored: restore_notes("", (said,)), self.tab.variation.region: ""}

    def redraw_region(self, event: gr.EventData, newest_images: NewestImages) -> Updates:
        """Sets the controls to redraw the painted region, or closes its editor."""
        if isinstance(event._data, dict) and event._data.get("close"):
            return {self.tab.variation.region: ""}
        with ErrorCatcher() as caught:
            return self.tab.fill(region_values(tuple(newest_images or ()), event._data))
        assert caught.error
        return {
            self.tab.restored: restore_notes("", (error_message(caught.error),)),
            self.tab.variation.value: None,
        }

    def vary_dropped(self, dropped: object, level: object) -> Updates:
        """Sets the controls to vary the image whose file was dropped last."""
        if not isinstance(dropped, ParsedSettings):
            return {self.tab.variation.value: None}
        values, _ = ParsedSettings(dropped.vary(parse_level(level))).fit(self.context.limits)
        return self.tab.fill({**values, "seed": None})

    def renew_image(self, newest_images: NewestImages, position: object) -> Updates:
        """As `reuse_settings`, but the seed is left open, and the number of images stays as set."""
        if not newest_images:
            return {self.tab.new_seed: True}
        values = {**selected_image(newest_images, position).request.to_dict(), "seed": None, "morph": None}
        del values["images"]
        return self.tab.fill(values)

    def drop_file(self, path: str | None) -> Updates:
        """Fills in the settings of a dropped image file, then deletes it.

        An image of this program stays: Gradio stores files by their bytes and name, so the page may be showing this
        one.
        """
        if path is None:
            return {self.tab.restored: ""}
        restored: RestoredImage | None = None
        try:
            restored = restore_from_image(path, self.context.limits)
        finally:
            if restored is None or not restored.own:
                Path(path).unlink(missing_ok=True)
        variation = self.tab.variation
        source = {
            variation.dropped: restored.varied,
            variation.vary_dropped: gr.Button(visible=restored.varied is not None),
            self.tab.morph.dropped: gr.Button(visible=restored.varied is not None),
        }
        notes = {self.tab.dropped_file: None, self.tab.restored: restored.notes}
        return {**notes, **source, **self.tab.fill(restored.values)}


def add_style(prompt: object, words: object) -> tuple[object, str]:
    """The prompt with a style's words, and no style selected, so that the next one can be."""
    valid = isinstance(prompt, str) and isinstance(words, str) and words
    return (apply_style(str(prompt), str(words)) if valid else prompt), ""


def reuse_last_seed(newest_images: NewestImages) -> tuple[Any, Any]:
    """The seed of the first of the newest images, and "new seed" off; no change without an image."""
    return (newest_images[0].request.seed, False) if newest_images else (gr.skip(), gr.skip())


def label_copy_result(copied: object) -> str:
    """The label of the button once the browser has tried to copy the link."""
    return translate("Link copied") if copied is True else translate("Copying was blocked")
