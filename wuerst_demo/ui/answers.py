"""The handlers of the drawing tab: what `drawing` and `readout` say, as updates of the tab's components.

Does not know where the components stand, or which event calls which handler (see `desk`, `wiring`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Any, cast

import gradio as gr
from gradio.components import Component

from wuerst_demo.errors import WuerstError
from wuerst_demo.ui import readout, show, taking
from wuerst_demo.ui.desk import Desk
from wuerst_demo.ui.drawing import OUR_FAULT, Picture, View
from wuerst_demo.ui.restoring import drafted, linked
from wuerst_demo.ui.runs import Runs, Terms
from wuerst_demo.ui.seats import Seat
from wuerst_demo.ui.studio import Studio
from wuerst_demo.ui.tiles import tiles

log = logging.getLogger(__name__)
Updates = dict[Component, Any]


def entering(runs: Runs, studio: Studio, desk: Desk) -> Callable[..., Iterator[Updates]]:
    """The handler of a page that opens: shows the drawing that it finds on its seat, if any. The settings are those of
    the link it was opened by, unless the drawing was begun after that, or what was set in this tab since. Who has begun
    a drawing on this page meanwhile, over a slow connection, is left alone."""

    def enter(request: gr.Request, owner: object, tab: object, draft: object) -> Iterator[Updates]:
        seat = Seat.taken(owner, tab)
        asked, came = linked(request.query_params, studio.limits)
        page = request.session_hash or ""
        terms = runs.terms(seat)
        if page and terms is not None and terms.page == page:
            yield {desk.came: came}
            return
        kept = drafted(draft, studio)
        # A number made without a value shows 0; only an update can leave it empty.
        opened = {desk.seed: None, desk.came: came}
        yield opened | desk.fill({**asked, **kept})
        filled = bool(asked) and terms is not None and terms.link != asked
        for updates, view in _shown(runs.resume(seat, page), studio, desk):
            if filled:
                updates.pop(desk.seed, None)
            elif view.request is not None and terms is not None:
                filled = True
                updates |= desk.fill({**asdict(view.request), "new_seed": terms.fresh, **kept}) | {desk.came: ""}
            yield updates

    return enter


def drawing(runs: Runs, studio: Studio, desk: Desk) -> Callable[..., Iterator[Updates]]:
    """The handler that draws. Its inputs are the controls' values by field name, `new_seed` and `desk.seat`."""

    def drawn(request: gr.Request, owner: object, tab: object, new_seed: object, **values: object) -> Iterator[Updates]:
        if new_seed:
            values["seed"] = None
        link, _ = linked(request.query_params, studio.limits)
        terms = Terms(link, bool(new_seed), request.session_hash or "")
        for updates, _ in _shown(runs.draw(Seat.taken(owner, tab), values, terms), studio, desk):
            yield updates

    return drawn


def _shown(views: Iterator[View], studio: Studio, desk: Desk) -> Iterator[tuple[Updates, View]]:
    shown: tuple[Picture, ...] | None = None
    with closing(cast("Generator[View]", views)):
        for view in views:
            # The buttons with each answer: of a laden browser's, one went lost, and Stop stayed closed to the end.
            updates: Updates = {desk.status: show.status(view), **buttons(desk, running=not view.over)}
            if view.request is not None:  # what is refused before it begins leaves the last pictures there
                updates[desk.tiles] = tiles(view)
                if shown is None:
                    updates[desk.seed] = view.request.seed
                if view.pictures != shown:
                    updates |= _pictures(view, shown or (), studio, desk)
                    shown = view.pictures
            yield updates, view


def _pictures(view: View, before: tuple[Picture, ...], studio: Studio, desk: Desk) -> dict[Any, Any]:
    pictures = view.pictures
    paths = [str(each.path) for each in pictures]
    captioned = [(path, f"Seed {each.request.seed}") for path, each in zip(paths, pictures, strict=True)]
    updates: dict[Any, Any] = {
        desk.newest: pictures,
        desk.gallery: captioned,
        desk.files: paths,
    }
    if not pictures:
        # An open picture of the drawing before would become one of this, and take the focus from who types on.
        updates[desk.gallery] = gr.Gallery([], selected_index=None)
        return updates | {desk.recipe: show.recipe(view, studio.limits)}
    # The first one is chosen until another is clicked; reading its prompt again for each of the others would cost.
    return updates | (taking.show(pictures, 0, studio, desk) if before[:1] != pictures[:1] else {})


def reading(studio: Studio, desk: Desk) -> Callable[[object, object], Updates]:
    """The handler behind the read-out: tokens, weights, what lies beyond."""

    def read(prompt: object, weighting: object) -> Updates:
        try:
            request = studio.limits.request({"prompt": prompt, "weighting": weighting})
            seen = readout.readout(studio.read(request.prompt, request.weighting), studio.knows, studio.things)
        except WuerstError as error:
            seen = readout.refused(str(error))
        except Exception:
            log.exception("A prompt could not be read.")
            seen = readout.refused(OUR_FAULT)
        spans = gr.HighlightedText(list(seen.spans), color_map=seen.colors, visible=seen.weighted)
        return {desk.spans: spans, desk.summary: seen.summary}

    return read


def buttons(desk: Desk, running: bool) -> Updates:
    """What can be pressed while a drawing goes on, and while none does."""
    idle, busy = gr.Button(interactive=not running), gr.Button(interactive=running)
    return {desk.generate: idle, desk.taking.another: idle, desk.stop: busy}
