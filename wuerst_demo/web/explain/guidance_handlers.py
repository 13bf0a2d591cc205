"""Handlers of "Guidance and steps" on the "How it works" tab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr

from wuerst_demo.request import SOURCE_FIELDS, Limits, Request
from wuerst_demo.web.compare.renderer import ComparisonRenderer
from wuerst_demo.web.compare.runner import ComparisonRequest
from wuerst_demo.web.compare.sessions import ComparisonSessions
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.explain.layout import GuidanceSection
from wuerst_demo.web.middleware.client_address import client_address
from wuerst_demo.web.shared.event_options import Updates
from wuerst_demo.web.shared.html import status_line
from wuerst_demo.web.shared.sessions import ClientTab

NO_PICTURE_MESSAGE = "Show how a picture was made first; then draw its sheet."
SHEET_GUIDANCE = (1, 2, 4, 8)
SHEET_STEP_SHARES = (1 / 4, 1 / 2, 1, 2)
"""Of the prior steps of the explained picture."""


@dataclass(frozen=True)
class GuidanceHandlers:
    """The handlers, for one checkpoint."""

    context: WebContext
    section: GuidanceSection
    sessions: ComparisonSessions

    def compare(
        self, request: gr.Request, owner: object, tab_name: object, reported: Request | None
    ) -> Iterator[Updates]:
        """Generates the picture of `reported` with several values of guidance and steps."""
        if reported is None:
            yield {self.section.status: status_line("rejected", NO_PICTURE_MESSAGE)}
            return
        client, page = ClientTab.from_browser(owner, tab_name), request.session_hash or ""
        sheet = plan_sheet(self.context.limits, reported)
        views = self.sessions.compare(client, sheet, page, client_address(request))
        yield from ComparisonRenderer(self.context, self.section).render_views(views)

    def load_page(self, request: gr.Request, owner: object, tab_name: object) -> Iterator[Updates]:
        """Re-attaches a page that is loaded to the sheet of its tab, and unfolds it."""
        run = self.sessions.find(ClientTab.from_browser(owner, tab_name), request.session_hash or "")
        if run is None:
            yield {self.section.start: gr.skip()}
            return
        renderer = ComparisonRenderer(self.context, self.section)
        for updates in renderer.render_views(run.follow(), reattached=True):
            yield updates | {self.section.container: gr.Accordion(open=True)}


def plan_sheet(limits: Limits, request: Request) -> ComparisonRequest:
    """The comparison of one picture, from noise, over guidance and steps of the prior, within `limits`."""
    guidance, steps = limits.number("prior_guidance"), limits.number("prior_steps")
    across = {min(max(each, guidance.least), guidance.most) for each in SHEET_GUIDANCE}
    down = {min(max(round(share * request.prior_steps), steps.least, 1), steps.most) for share in SHEET_STEP_SHARES}
    typed = [", ".join(f"{each:g}" for each in sorted(values)) for values in (across, down)]
    values = {name: value for name, value in request.to_dict().items() if name not in SOURCE_FIELDS}
    return ComparisonRequest(values, ("prior_guidance", typed[0]), ("prior_steps", typed[1]))
