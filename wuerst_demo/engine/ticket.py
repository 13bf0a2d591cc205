"""Client handle of one request: an iterator over its events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from wuerst_demo.engine.tracked_request import TrackedRequest
from wuerst_demo.errors import UserError
from wuerst_demo.events import Event
from wuerst_demo.request import Request

REPEAT_INTERVAL_S = 0.5
"""Seconds without news after which the newest event is repeated, so that a server can notice a closed connection."""


class Ticket(Iterator[Event]):
    """Events of one request: Queued while it waits, Progress, each Result as soon as it is finished, then Done.

    If the request fails, iteration ends with its UserError, after every Result there is. A slow reader gets the newest
    Progress of each image and misses no Result. A reader that stops should `close` the ticket; then, or if the ticket
    is lost, the request goes on for the engine's grace time.
    """

    def __init__(
        self,
        state: TrackedRequest,
        clock: Callable[[], float],
        cancel: Callable[[], None],
        advance: Callable[[], None] | None = None,
    ) -> None:
        """Becomes the reader of the request. `advance` works on the request when there is no event to read; without it,
        the reader waits. Called under the engine's lock."""
        self._state = state
        self._clock = clock
        self._cancel = cancel
        self._advance = advance
        self._last_read = 0  # number of the event
        self._closed = False
        self._token = object()  # in place of `self`, which would keep a lost ticket alive
        state.attach(self._token)

    @property
    def id(self) -> str:
        """Unguessable id, with which the request's session can attach again."""
        return self._state.id

    @property
    def request(self) -> Request:
        return self._state.request

    @property
    def over(self) -> bool:
        """Whether the request has ended; there may be events to read still."""
        return self._state.over

    def __next__(self) -> Event:
        state, repeat_at = self._state, time.monotonic() + REPEAT_INTERVAL_S
        while not self._closed:
            with state.changed:
                if found := state.buffer.next_after(self._last_read):
                    self._last_read, event = found
                    return event
                if state.over:
                    self._leave(read_to_end=True)
                    if state.buffer.error:
                        raise state.buffer.error.with_traceback(None)
                    break
                if not self._advance:
                    if not state.changed.wait(repeat_at - time.monotonic()):
                        if latest := state.buffer.latest:
                            return latest
                        repeat_at = time.monotonic() + REPEAT_INTERVAL_S
                    continue
            self._advance()
        raise StopIteration

    def read_available(self) -> tuple[list[Event], UserError | None]:
        """The events that are here, without waiting, and the error that has ended the request, if one has.

        After Done or an error nothing more comes. For a reader of many tickets, which `listen` tells of news.
        """
        state, events = self._state, list[Event]()
        with state.changed:
            while found := state.buffer.next_after(self._last_read):
                self._last_read = found[0]
                events.append(found[1])
            if state.over:
                self._leave(read_to_end=True)
            return events, state.buffer.error

    def listen(self, listener: Callable[[Event | None], object]) -> None:
        """Has `listener` called with every new event, and with None at the end, in any thread and under the engine's
        lock."""
        with self._state.changed:
            self._state.listener = listener

    def cancel(self) -> None:
        """Cancels the request: it takes no further step and ends with Cancelled. No effect after its end."""
        self._cancel()

    def close(self) -> None:
        """Stops reading. Wakes a reader that waits in another thread."""
        self._leave()
        with self._state.changed:
            self._state.changed.notify_all()

    def __del__(self) -> None:
        self._leave()  # takes no lock: this can run in any thread at any time

    def _leave(self, read_to_end: bool = False) -> None:
        self._closed = True
        self._state.detach(self._token, self._clock(), read_to_end)
