"""What somebody who asked for pictures holds in the hand: the events of one request, as they come.

Does not know rows, the device or who goes next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from wuerst_demo.engine.flight import Flight
from wuerst_demo.events import Event
from wuerst_demo.request import Request

PATIENCE = 0.5
"""Seconds after which a reader hears the newest again, so that a face can notice that its visitor has gone."""


class Ticket(Iterator[Event]):
    """Reads one request: Queued while it waits, Progress, each Result as soon as it is there, then Done.

    Ends with the UserError that says why there is no Done, after every Result that there is. Somebody who reads
    slowly gets the newest Progress of each image and misses no Result. Whoever stops reading should `close` it; that,
    like losing the ticket, leaves the request to go on for the engine's grace time.
    """

    def __init__(self, flight: Flight[Any], cancel: Callable[[], None], clock: Callable[[], float]) -> None:
        """Takes the place of the flight's reader, under the engine's lock."""
        self._flight = flight
        self._cancel = cancel
        self._clock = clock
        self._token = object()
        self._seen = 0
        self._closed = False
        flight.reader = self._token

    @property
    def id(self) -> str:
        """Not to be guessed: with it, its owner can attach again."""
        return self._flight.id

    @property
    def request(self) -> Request:
        return self._flight.request

    def __next__(self) -> Event:
        flight, patience = self._flight, time.monotonic() + PATIENCE
        with flight.news:
            while not self._closed:
                if found := flight.board.after(self._seen):
                    self._seen, event = found
                    return event
                if flight.over:
                    flight.seen = True
                    self.close()
                    if flight.board.error:
                        raise flight.board.error.with_traceback(None)
                    break
                if not flight.news.wait(patience - time.monotonic()) and flight.board.standing:
                    return flight.board.standing
        raise StopIteration

    def cancel(self) -> None:
        """Stops the request: it takes part in no further step and ends with Cancelled. Again, or later: no effect."""
        self._cancel()

    def close(self) -> None:
        """Stops reading. From another thread it wakes the one that reads."""
        self._leave()
        with self._flight.news:
            self._flight.news.notify_all()

    def __del__(self) -> None:
        self._leave()  # takes no lock: this may run in any thread, in the middle of anything

    def _leave(self) -> None:
        self._closed = True
        if self._flight.reader is self._token:
            self._flight.left_at = self._clock()
            self._flight.reader = None
