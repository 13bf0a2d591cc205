"""Handlers of the "How it works" tab: user input in, updates of the tab's components out."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import gradio as gr

from wuerst_demo.messages import Message, message
from wuerst_demo.request import Limits, Request
from wuerst_demo.web.explain.layout import NO_IMAGES_STATUS, ExplainTab
from wuerst_demo.web.explain.runner import READY_STATUS, ExplanationSessions, ExplanationView
from wuerst_demo.web.generate.layout import GenerateTab
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.middleware.client_address import client_address
from wuerst_demo.web.shared.event_options import Updates
from wuerst_demo.web.shared.generation import MIDDLE_INDEX, FinishedImage
from wuerst_demo.web.shared.html import status_line
from wuerst_demo.web.shared.sessions import ClientTab
from wuerst_demo.web.shared.view import ErrorCatcher, error_message

MAX_AUTOMATIC_PIXELS = 512 * 512
"""Images up to this size are explained when the tab is opened; larger ones wait for the button."""
IMAGE_GONE_STATUS = "That picture is no longer there; choose another."


def update_choices(
    newest_images: Sequence[FinishedImage], position: object = None, reported: object = None
) -> tuple[Any, ...]:
    """Updates of choice, button and status for the newest images. A choice that is still valid stays, and so does the
    status of a report."""
    choices = [(translate(_name_choice(image)), k) for k, image in enumerate(newest_images)]
    several = len(choices) > 1
    if isinstance(position, int) and _selected_request(position, newest_images):
        return gr.Dropdown(choices=choices, value=position, visible=several), gr.skip(), gr.skip()
    return (
        gr.Dropdown(choices=choices, value=0 if choices else None, visible=several),
        gr.Button(interactive=bool(choices)),
        gr.skip() if reported and choices else status_line("idle", READY_STATUS if choices else NO_IMAGES_STATUS),
    )


def _name_choice(image: FinishedImage) -> Message:
    if image.index == MIDDLE_INDEX:
        return message("In the middle: seed {seed}", seed=image.request.seed)
    return message("{number}: seed {seed}", number=image.index + 1, seed=image.request.seed)


@dataclass(frozen=True)
class ExplainHandlers:
    """The handlers that need the tab's components or explanations."""

    tab: ExplainTab
    sessions: ExplanationSessions
    word_sessions: ExplanationSessions
    """Those of "Change one word"."""

    def explain(
        self,
        request: gr.Request,
        owner: object,
        tab_name: object,
        position: object,
        newest_images: Sequence[FinishedImage],
        reported: object,
    ) -> Iterator[Updates]:
        """Explains the image at `position` of the newest ones. `reported` is the request of the present report."""
        selected = _selected_request(position, newest_images)
        if selected is None:
            text = IMAGE_GONE_STATUS if newest_images else NO_IMAGES_STATUS
            yield {self.tab.status: status_line("rejected", text)}
            return
        yield from self._explain(selected, request, owner, tab_name)

    def explain_new_image(
        self,
        request: gr.Request,
        owner: object,
        tab_name: object,
        position: object,
        newest_images: Sequence[FinishedImage],
        reported: Request | None,
    ) -> Iterator[Updates]:
        """As `explain`, for a small image without a report; no change for others."""
        # Right after a generation, the choice may not yet have heard of its images.
        selected = _selected_request(0 if position is None else position, newest_images)
        if selected is None or selected == reported or selected.width * selected.height > MAX_AUTOMATIC_PIXELS:
            yield {self.tab.start: gr.skip()}  # Gradio rejects an answer without any output
            return
        yield from self._explain(selected, request, owner, tab_name)

    def load_page(self, request: gr.Request, owner: object, tab_name: object) -> Iterator[Updates]:
        """Re-attaches a page that is loaded to the explanation of its tab."""
        client, page = ClientTab.from_browser(owner, tab_name), request.session_hash or ""
        run, words = self.sessions.find(client, page), self.word_sessions.find(client, page)
        if run is None:
            yield {self.tab.start: gr.skip()}
            return
        prompt = words.requests[-1].prompt if words else run.requests[0].prompt
        yield from self._render_views(run.requests[0], run.follow(), prompt)

    def _explain(self, selected: Request, request: gr.Request, owner: object, tab_name: object) -> Iterator[Updates]:
        client, page = ClientTab.from_browser(owner, tab_name), request.session_hash or ""
        views = self.sessions.explain(client, (selected,), page, client_address(request))
        yield from self._render_views(selected, views, selected.prompt)

    def _render_views(self, request: Request, views: Iterator[ExplanationView], other_prompt: str) -> Iterator[Updates]:
        tab = self.tab
        with closing(cast("Generator[ExplanationView]", views)):
            for view in views:
                # From the first answer on: the tab may be left and opened again meanwhile.
                updates = tab.show(view) | {tab.reported_request: None if view.over and not view.report else request}
                if view.report:
                    updates[tab.words.prompt] = other_prompt
                yield updates


def _selected_request(position: object, newest_images: Sequence[FinishedImage]) -> Request | None:
    if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position < len(newest_images):
        return None
    return newest_images[position].request


@dataclass(frozen=True)
class CompositionHandlers:
    """The handler that takes an edited composition to the Generate tab."""

    limits: Limits
    tab: ExplainTab
    generate_tab: GenerateTab
    tabs: gr.Tabs

    def take(self, event: gr.EventData) -> Updates:
        """Sets the controls of the Generate tab to the request of an edited composition, and goes there."""
        values = event._data.get("values") if isinstance(event._data, dict) else None
        with ErrorCatcher() as caught:
            request = self.limits.request(values if isinstance(values, dict) else {"variation": {}})
            return {self.tabs: gr.Tabs(selected="draw"), **self.generate_tab.fill(request.to_dict())}
        assert caught.error is not None
        rejected = status_line("rejected", error_message(caught.error))
        # Without a variation, nothing is generated.
        return {self.tab.status: rejected, self.generate_tab.variation.value: None}
