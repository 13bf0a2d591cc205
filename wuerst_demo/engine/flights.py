"""Who is in the engine: requests in flight and, for a grace time, those that have ended.

Takes no lock and starts no thread. Does not know what is done for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic

from wuerst_demo.engine.flight import Flight
from wuerst_demo.engine.rows import R
from wuerst_demo.engine.watch import Watch
from wuerst_demo.errors import Abandoned, Cancelled, UserError

STOPPED = "The request was stopped before its end; start it again if it is still wanted."

UNSEEN = 64
"""Requests that ended unseen and are kept, at most: each holds its pictures in memory."""


class Flights(Generic[R]):
    """Iterates over those in flight, the oldest first; `len` counts the ended ones too. `grace` is in seconds, and so
    is `kept`, for which what ended unseen is kept. `watch` hears of every end, of those that were added, once."""

    def __init__(self, grace: float, kept: float, watch: Watch) -> None:
        self._grace = grace
        self._kept = kept
        self._watch = watch
        self._flying: dict[str, Flight[R]] = {}
        self._ended: dict[str, Flight[R]] = {}

    def __iter__(self) -> Iterator[Flight[R]]:
        return iter(list(self._flying.values()))

    def __len__(self) -> int:
        return len(self._flying) + len(self._ended)

    def add(self, flight: Flight[R]) -> None:
        self._flying[flight.id] = flight

    def found(self, id: object, owner: str) -> Flight[R] | None:
        """The one with this id, if it is the owner's."""
        flight = (self._flying.get(id) or self._ended.get(id)) if isinstance(id, str) else None
        return flight if flight is not None and flight.owner == owner else None

    def sweep(self, now: float) -> None:
        """Stops what nobody has read for the grace time, and forgets what ended that long ago."""
        for flight in self:
            if flight.reader is None and now - flight.left_at >= self._grace:
                flight.fail(Abandoned(STOPPED), now)
            if flight.over:
                del self._flying[flight.id]
                self._watch.ended(flight.told)
                if _missed(flight):
                    self._ended[flight.id] = flight
        unseen = [flight for flight in self._ended.values() if not flight.seen]
        for flight in list(self._ended.values()):
            age = 0.0 if flight.ended is None else now - flight.ended
            if age >= (self._grace if flight.seen else self._kept) or flight in unseen[:-UNSEEN]:
                del self._ended[flight.id]

    def end(self, reason: str, now: float) -> None:
        """Ends and forgets all."""
        for flight in self:
            flight.fail(UserError(reason), now)
            self._watch.ended(flight.told)
        self._flying.clear()
        self._ended.clear()


def _missed(flight: Flight[R]) -> bool:
    """Whether anybody may come back for one that is over: not for what was stopped, unless that was for want of a
    reader and there are pictures."""
    error = flight.board.error
    return not isinstance(error, Cancelled) or (isinstance(error, Abandoned) and flight.board.finished)
