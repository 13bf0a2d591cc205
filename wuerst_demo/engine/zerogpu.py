"""Engine over a function that generates a request: for ZeroGPU, where the device exists only inside a marked call.

The call is a process of its own, in which the caller drives the real engine (`Engine.run`); only its events come back.
So nothing can be shared between requests, and a request ends with its reader.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from weakref import WeakValueDictionary

from wuerst_demo.engine.request_queue import STOPPED_MESSAGE
from wuerst_demo.errors import Cancelled, UserError
from wuerst_demo.events import Event
from wuerst_demo.request import Request

NO_ATTACH_MESSAGE = "This ended when its page was closed; start it again."


class GeneratorEngine:
    """The methods of `Engine` over `run(request, session)`, an iterator of events. Without estimates and latents."""

    def __init__(self, run: Callable[[Request, str], Iterator[Event]]) -> None:
        self._run = run
        self._tickets: WeakValueDictionary[tuple[str, str], GeneratorTicket] = WeakValueDictionary()

    def submit(
        self, request: Request, session: str, keep_latents: bool = False, /, *, live: bool = False, address: str = ""
    ) -> GeneratorTicket:
        ticket = GeneratorTicket(request, self._run(request, session))
        self._tickets[session, ticket.id] = ticket
        return ticket

    def attach(self, id: str, session: str, /) -> GeneratorTicket:
        raise UserError(NO_ATTACH_MESSAGE)

    def cancel(self, id: str, session: str, /) -> None:
        if ticket := self._tickets.get((session, id)):
            ticket.cancel()

    def estimate(self, request: Request, /) -> float | None:
        return None

    @property
    def stage_counts(self) -> Mapping[str, int]:
        return {}


class GeneratorTicket:
    """Client handle, see `Ticket`. Cancelling takes effect at the next event, in the thread that reads."""

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
            raise Cancelled(STOPPED_MESSAGE)
        raise StopIteration

    def cancel(self) -> None:
        self._cancelled = True

    def close(self) -> None:
        self._closed = True
        self._end()

    def _end(self) -> None:
        if close := getattr(self._events, "close", None):
            with suppress(ValueError):  # it is running in another thread, which ends it after this event
                close()
