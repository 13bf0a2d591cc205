"""The tab that shows how a picture came about: which one, a button, and the account of its stages.

Does not know how the steps are come by (see `explaining`), or what the account looks like (see `account`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from wuerst_demo.request import Request
from wuerst_demo.ui import show
from wuerst_demo.ui.account import account
from wuerst_demo.ui.desk import Desk
from wuerst_demo.ui.drawing import Picture
from wuerst_demo.ui.explaining import explain
from wuerst_demo.ui.look import ASSETS
from wuerst_demo.ui.seats import Seat
from wuerst_demo.ui.studio import Studio
from wuerst_demo.ui.wiring import OWN, SEAT

Updates = dict[Component, Any]
AT_ONCE = 8
"""Pictures that may be explained at the same time."""
CHEAP = 512 * 512
"""Pixels up to which a picture is explained as soon as somebody opens the tab; larger ones wait for the button."""
INTRO = (
    "<p>Würstchen draws in three stages, the first of them in a very small space. See them at work on a picture of"
    " yours, in the numbers that the networks themselves computed.</p>"
)
NOTHING = "Nothing has been drawn yet. Draw a picture, then come back."
READY = "The picture is drawn once more, as it was, and every step is kept for you to look at."
GONE = "That picture is no longer there; choose another."


@dataclass(frozen=True)
class Stand:
    """The components of the tab that the handler changes. `of` holds the request that `told` tells of."""

    go: gr.Button
    stop: gr.Button
    status: gr.HTML
    told: gr.HTML
    of: gr.State

    def buttons(self, over: bool) -> Updates:
        return {self.go: gr.Button(interactive=over), self.stop: gr.Button(interactive=not over)}


def add(studio: Studio, desk: Desk) -> None:
    """Makes the tab and wires it, within the page's tabs."""
    with gr.Tab("How it works", id="explain") as tab, gr.Column(elem_id="explain"):
        gr.HTML(INTRO, elem_classes="intro")
        with gr.Row(elem_classes="actions"):
            which = gr.Dropdown(
                [], label="Picture", info="One of those that were drawn last.", visible=False, elem_id="explain-which"
            )
            go = gr.Button("Show how it was made", variant="primary", interactive=False, elem_id="explain-go")
            stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="explain-stop")
        status = gr.HTML(show.line("idle", NOTHING), elem_id="explain-status", elem_classes="telling")
        told = gr.HTML(elem_id="account", js_on_load=(ASSETS / "steps.js").read_text(encoding="utf-8"))
        of = gr.State(None)
    stand = Stand(go, stop, status, told, of)
    desk.newest.change(offered, [desk.newest, which], [which, go, status], queue=False, **OWN)
    runs = [
        event(
            explanation(studio, stand, unasked=unasked),
            inputs_kwargs={**desk.seat, "which": which, "newest": desk.newest, "before": of},
            outputs=[go, stop, status, told, of],
            js=SEAT,
            concurrency_id="explaining",
            concurrency_limit=AT_ONCE,
            **OWN,
        )
        for event, unasked in ((go.click, False), (tab.select, True))
    ]
    for each in runs:
        each.failure(lambda: stand.buttons(over=True), None, [go, stop], queue=False, **OWN)
    stop.click(stopped, None, [go, stop, status], cancels=runs, queue=False, **OWN)


def offered(newest: Sequence[Picture], which: object = None) -> tuple[Any, ...]:
    """Which pictures can be explained now: those of the newest drawing. The chosen one stays chosen while others come,
    and what is said of it stands."""
    choices = [(f"{picture.image + 1}: seed {picture.request.seed}", k) for k, picture in enumerate(newest)]
    there = bool(choices)
    if isinstance(which, int) and _chosen(which, newest):
        return gr.Dropdown(choices=choices, value=which, visible=len(choices) > 1), gr.skip(), gr.skip()
    return (
        gr.Dropdown(choices=choices, value=0 if there else None, visible=len(choices) > 1),
        gr.Button(interactive=there),
        show.line("idle", READY if there else NOTHING),
    )


def explanation(studio: Studio, stand: Stand, unasked: bool) -> Callable[..., Iterator[Updates]]:
    """The handler that explains. `which` is a place in `newest`, as a browser sent it; `before` is the request whose
    account the tab shows already. If `unasked`, only what is cheap and new is drawn."""

    nothing: Updates = {stand.go: gr.skip()}  # Gradio takes an empty answer for one that lacks all outputs

    def explained(
        owner: object, tab: object, which: object, newest: Sequence[Picture], before: Request | None
    ) -> Iterator[Updates]:
        # A tab that is opened as soon as a picture is there has not heard yet that it is the chosen one.
        request = _chosen(0 if unasked and which is None else which, newest)
        if request is None:
            yield nothing if unasked else {stand.status: show.line("refused", GONE if newest else NOTHING)}
            return
        if unasked and (request == before or request.width * request.height > CHEAP):
            yield nothing
            return
        with closing(explain(studio, request, Seat.taken(owner, tab).owner)) as glimpses:
            for seen in glimpses:
                updates = {stand.status: show.line(seen.state, seen.message, seen.fraction), **stand.buttons(seen.over)}
                # from the first answer on: the tab may be left and opened again meanwhile
                updates[stand.of] = None if seen.over else request
                if seen.result is not None:
                    updates |= {stand.told: account(seen.result), stand.of: request}
                    updates[stand.status] = show.line("done", "Move the slider to see every step.")
                yield updates

    return explained


def _chosen(which: object, newest: Sequence[Picture]) -> Request | None:
    if isinstance(which, bool) or not isinstance(which, int) or not 0 <= which < len(newest):
        return None
    return newest[which].request


def stopped() -> tuple[Any, ...]:
    """What the tab says after Stop, which has ended the drawing."""
    return gr.Button(interactive=True), gr.Button(interactive=False), show.line("idle", f"Stopped. {READY}")
