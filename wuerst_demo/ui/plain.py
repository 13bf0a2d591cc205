"""An engine for places where no thread may outlive a call: every ticket draws in the thread that reads it.

So there is nothing to come back to: who leaves, stops. Used on ZeroGPU, where the device is there only inside a call.

Does not know what draws, or where.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from weakref import WeakValueDictionary

from wuerst_demo.errors import Cancelled, UserError
from wuerst_demo.events import Event
from wuerst_demo.request import Request
from wuerst_demo.ui.studio import Draw

STOPPED = "The drawing was stopped before its end; start it again if it is still wanted."
GONE = "A drawing here ends when its page is left; start it again."


class Plain:
    """A `studio.Engine` over one function that draws. Measures nothing, so gives no estimates, and keeps no stages."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._tickets: WeakValueDictionary[tuple[str, str], PlainTicket] = WeakValueDictionary()

    def submit(self, request: Request, session: str, stages: bool = False, /) -> PlainTicket:
        ticket = PlainTicket(request, self._draw(request, session))
        self._tickets[session, ticket.id] = ticket
        return ticket

    def attach(self, id: str, session: str, /) -> PlainTicket:
        raise UserError(GONE)

    def cancel(self, id: str, session: str, /) -> None:
        if ticket := self._tickets.get((session, id)):
            ticket.cancel()

    def estimate(self, request: Request, /) -> float | None:
        return None

    @property
    def standing(self) -> Mapping[str, int]:
        return {}


class PlainTicket:
    """See `studio.Ticket`. What stops it takes effect at its next event, in the thread that reads."""

    def __init__(self, request: Request, events: Iterator[Event]) -> None:
        self.id = secrets.token_urlsafe(16)
        self.request = request
        self._events = events
        self._cancelled = self._closed = False

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        if not (self._cancelled or self._closed):
            event = next(self._events)
            if not (self._cancelled or self._closed):
                return event
        self._end()
        if self._cancelled:
            raise Cancelled(STOPPED)
        raise StopIteration

    def cancel(self) -> None:
        self._cancelled = True

    def close(self) -> None:
        self._closed = True
        self._end()

    def _end(self) -> None:
        close = getattr(self._events, "close", None)
        if close is not None:
            with suppress(ValueError):  # it takes a step in another thread, which sees after it that this is the end
                close()
