"""Handlers of "Change one word" on the "How it works" tab."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import cast

import gradio as gr

from wuerst_demo.errors import UserError
from wuerst_demo.request import SOURCE_FIELDS, Limits, Request
from wuerst_demo.web.explain.layout import WordSection
from wuerst_demo.web.explain.runner import ExplanationSessions, ExplanationView
from wuerst_demo.web.middleware.client_address import client_address
from wuerst_demo.web.shared.event_options import Updates
from wuerst_demo.web.shared.html import status_line
from wuerst_demo.web.shared.sessions import ClientTab
from wuerst_demo.web.shared.view import ErrorCatcher, error_message

NO_REPORT_MESSAGE = "Show how a picture was made first; then change a word of its prompt."
SAME_PROMPT_MESSAGE = "Both prompts are the same; change a word of this one."


@dataclass(frozen=True)
class WordHandlers:
    """The handlers, for one checkpoint's limits."""

    limits: Limits
    section: WordSection
    sessions: ExplanationSessions

    def compare(
        self, request: gr.Request, owner: object, tab_name: object, typed: object, reported: Request | None
    ) -> Iterator[Updates]:
        """Generates the picture of `reported` and that of the prompt that was typed, both from the same noise."""
        with ErrorCatcher() as caught:
            requests = plan_word_change(self.limits, reported, typed)
        if caught.error:
            yield {self.section.status: status_line("rejected", error_message(caught.error))}
            return
        client, page = ClientTab.from_browser(owner, tab_name), request.session_hash or ""
        yield from self._render_views(self.sessions.explain(client, requests, page, client_address(request)))

    def load_page(self, request: gr.Request, owner: object, tab_name: object) -> Iterator[Updates]:
        """Re-attaches a page that is loaded to the comparison of its tab, and unfolds it."""
        run = self.sessions.find(ClientTab.from_browser(owner, tab_name), request.session_hash or "")
        if run is None:
            yield {self.section.start: gr.skip()}
            return
        for updates in self._render_views(run.follow()):
            yield updates | {self.section.container: gr.Accordion(open=True)}

    def _render_views(self, views: Iterator[ExplanationView]) -> Iterator[Updates]:
        with closing(cast("Generator[ExplanationView]", views)):
            for view in views:
                yield self.section.show(view)


def plan_word_change(limits: Limits, reported: Request | None, typed: object) -> tuple[Request, Request]:
    """The requests of both prompts, which start from noise. Raises UserError."""
    if reported is None:
        raise UserError(NO_REPORT_MESSAGE)
    values = {name: value for name, value in reported.to_dict().items() if name not in SOURCE_FIELDS}
    one, other = limits.request(values), limits.request({**values, "prompt": typed})
    if one.prompt.split() == other.prompt.split():
        raise UserError(SAME_PROMPT_MESSAGE)
    return one, other
