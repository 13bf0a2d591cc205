"""The drawings of the page's visitors, from which they may go away and come back: who drew what, and where it stands.

A visitor is a browser, known by a name that only it and the server know; each of its tabs has a seat of its own and at
most one drawing on it. Whoever comes back to a seat, after a refresh or a lost connection, finds the drawing as it is
now, or as it ended. The engine decides how long a drawing goes on that nobody looks at.

Does not know Gradio.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from wuerst_demo.errors import UserError, WuerstError
from wuerst_demo.ui.drawing import AWAY, BEGUN, FAILED, Clock, View, place, refused, watch
from wuerst_demo.ui.seats import Seat, Seats
from wuerst_demo.ui.studio import Studio, Ticket

log = logging.getLogger(__name__)

ELSEWHERE = "This drawing goes on in another window of this browser."


@dataclass(frozen=True)
class Terms:
    """How a drawing was asked for, beyond its request: the settings of the `link` that its page had been opened by,
    whether each drawing was to have a `fresh` seed, and which `page` it was, anew each time one is loaded."""

    link: Mapping[str, object] = field(default_factory=dict)
    fresh: bool = False
    page: str = ""


@dataclass
class _Run:
    ticket: Ticket | None
    """None once it is over: it would keep the pictures in memory, and they are in files by then."""
    view: View
    terms: Terms
    files: TemporaryDirectory[str]
    at: float
    cancel: Callable[[], None]
    ended: bool = False

    @property
    def over(self) -> bool:
        return self.view.over

    @property
    def page(self) -> str:
        return self.terms.page

    def end(self) -> None:
        self.cancel()
        self.ended = True
        self.files.cleanup()


class Runs:
    """Everybody's drawings. Several threads may use one; each seat is used by one person."""

    def __init__(self, studio: Studio, clock: Clock = time.monotonic) -> None:
        self._studio = studio
        self._clock = clock
        self._seats: Seats[_Run] = Seats(clock)

    def draw(self, seat: Seat, values: Mapping[str, object], terms: Terms | None = None) -> Iterator[View]:
        """Views of a new drawing on this seat, as `drawing.draw` gives them, but closing it leaves the drawing to go
        on for as long as the engine lets it. What is refused leaves the seat's last drawing where it was."""
        try:
            request = self._studio.limits.request(values)
            files = place()
            ticket = self._studio.engine.submit(request, seat.owner)
        except WuerstError as error:
            yield refused(error)
            return
        except Exception:
            log.exception("A drawing could not begin.")
            yield FAILED
            return
        cancel = partial(self._studio.engine.cancel, ticket.id, seat.owner)
        run = _Run(ticket, replace(BEGUN, request=request), terms or Terms(), files, self._clock(), cancel)
        self._seats.take(seat, run)
        yield from self._followed(run, ticket)

    def terms(self, seat: Seat) -> Terms | None:
        """How the drawing on this seat was asked for; None where there is none."""
        run = self._seats.find(seat)
        return run.terms if run else None

    def resume(self, seat: Seat, page: str = "") -> Iterator[View]:
        """Views of the drawing on this seat, from where it stands now; none where there is none, or where `page` has
        begun it. Whoever followed it before, an older connection of the same tab, is told so and sees no more of it."""
        run = self._seats.left(seat, page)
        if run is None:
            return
        run.at = self._clock()
        if not run.over and run.ticket is not None:
            run.ticket.close()
            try:
                ticket = self._studio.engine.attach(run.ticket.id, seat.owner)
            except UserError:
                run.view = replace(run.view, state="stopped", message=AWAY)
            else:
                run.ticket = ticket
                yield from self._followed(run, ticket)
                return
        yield run.view

    def stop(self, seat: Seat) -> None:
        """Stops the drawing on this seat within a step; who follows it hears so. None there, or over: no effect."""
        if run := self._seats.find(seat):
            run.cancel()

    def _followed(self, run: _Run, ticket: Ticket) -> Iterator[View]:
        view = run.view
        with closing(ticket):
            for seen in watch(self._studio, ticket, view, Path(run.files.name), self._clock):
                if run.ticket is ticket:
                    view = run.view = seen
                    run.at = self._clock()
                    yield view
        if run.ended:  # what was written meanwhile has made the folder anew
            run.files.cleanup()
        if run.ticket is not ticket:
            yield replace(view, state="stopped", message=ELSEWHERE)
        elif run.over:
            run.ticket = None
