"""The drawings of the page's visitors, from which they may go away and come back: who drew what, and where it stands.

A visitor is a browser, known by a name that only it and the server know; each of its tabs has a seat of its own and at
most one drawing on it. Whoever comes back to a seat, after a refresh or a lost connection, finds the drawing as it is
now, or as it ended, for `KEPT` seconds. The engine decides how long a drawing goes on that nobody looks at.

Does not know Gradio.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from wuerst_demo.errors import UserError, WuerstError
from wuerst_demo.ui.drawing import BEGUN, FAILED, Clock, View, place, refused, watch
from wuerst_demo.ui.studio import Studio, Ticket

log = logging.getLogger(__name__)

KEPT = 1800.0
"""Seconds for which a drawing can be come back to after its last view."""
MOST = 200
"""Drawings that are kept. With more of them, the oldest that have ended go first."""
AWAY = "The page was away for too long, so the drawing was stopped. What was finished is kept; draw the rest again."
ELSEWHERE = "This drawing goes on in another window of this browser."


@dataclass(frozen=True)
class Seat:
    """One tab of one visitor's browser. `owner` is not to be guessed; `tab` is whatever the tab calls itself."""

    owner: str
    tab: str = ""

    @classmethod
    def taken(cls, owner: object, tab: object) -> Seat:
        """From what a browser says of itself, which may be nothing or nonsense: then it is somebody new."""
        known = isinstance(owner, str) and 20 <= len(owner) <= 100 and owner.isascii() and owner.isprintable()
        named = isinstance(tab, str) and len(tab) <= 100
        return cls(str(owner) if known else secrets.token_urlsafe(24), str(tab) if named else "")


@dataclass
class _Run:
    id: str
    ticket: Ticket
    view: View
    files: TemporaryDirectory[str]
    at: float


class Runs:
    """Everybody's drawings. Several threads may use one; each seat is used by one person."""

    def __init__(self, studio: Studio, clock: Clock = time.monotonic) -> None:
        self._studio = studio
        self._clock = clock
        self._lock = threading.Lock()
        self._runs: dict[Seat, _Run] = {}

    def draw(self, seat: Seat, values: Mapping[str, object]) -> Iterator[View]:
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
        run = _Run(ticket.id, ticket, replace(BEGUN, request=request), files, self._clock())
        with self._lock:
            before = self._runs.pop(seat, None)
            self._runs[seat] = run
            self._sweep()
        if before is not None:
            self._studio.engine.cancel(before.id, seat.owner)
            before.files.cleanup()
        yield from self._followed(run, ticket)

    def resume(self, seat: Seat) -> Iterator[View]:
        """Views of the drawing on this seat, from where it stands now; none where there is none. Whoever followed it
        before, an older connection of the same tab, is told so and sees no more of it."""
        with self._lock:
            self._sweep()
            run = self._runs.get(seat)
        if run is None:
            return
        if not run.view.over:
            run.ticket.close()
            try:
                ticket = self._studio.engine.attach(run.id, seat.owner)
            except UserError:
                run.view = replace(run.view, state="stopped", message=AWAY)
            else:
                run.ticket = ticket
                yield from self._followed(run, ticket)
                return
        yield run.view

    def stop(self, seat: Seat) -> None:
        """Stops the drawing on this seat within a step; who follows it hears so. None there, or over: no effect."""
        with self._lock:
            run = self._runs.get(seat)
        if run is not None:
            self._studio.engine.cancel(run.id, seat.owner)

    def _followed(self, run: _Run, ticket: Ticket) -> Iterator[View]:
        view = run.view
        with closing(ticket):
            for seen in watch(self._studio, ticket, view, Path(run.files.name), self._clock):
                if run.ticket is ticket:
                    view = run.view = seen
                    run.at = self._clock()
                    yield view
        if run.ticket is not ticket:
            yield replace(view, state="stopped", message=ELSEWHERE)

    def _sweep(self) -> None:
        """Lets go, with their files, of what is too old or too much. Under the lock."""
        now = self._clock()
        for seat, run in list(self._runs.items()):
            if now - run.at > KEPT or (run.view.over and len(self._runs) > MOST):
                del self._runs[seat]
                run.files.cleanup()
