"""Who has what going: a visitor's browser, its tabs, and the one thing each of them has begun and may come back to.

Does not know what that is, nor Gradio.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

KEPT = 1800.0
"""Seconds for which something can be come back to after its last view."""
MOST = 200
"""Things that are kept. With more of them, the oldest go that have ended, or that nobody looks at."""
LEFT = 60.0
"""Seconds after its last view from which nobody looks at something."""


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


class Begun(Protocol):
    """What somebody has begun. `at` is when it was last seen, by the clock; `page` is the page it was begun on."""

    at: float

    @property
    def page(self) -> str: ...

    @property
    def over(self) -> bool: ...
    def end(self) -> None:
        """Stops it, where it goes on, and lets go of its files."""


B = TypeVar("B", bound=Begun)


class Seats(Generic[B]):
    """What everybody has begun, at most one thing a seat. Several threads may use one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._begun: dict[Seat, B] = {}

    def take(self, seat: Seat, begun: B) -> None:
        """Puts `begun` there, and ends what was there before."""
        with self._lock:
            before = self._begun.pop(seat, None)
            self._begun[seat] = begun
            gone = self._swept()
        for each in (*gone, *([before] if before else [])):
            each.end()

    def find(self, seat: Seat) -> B | None:
        """What was begun there, None where that is nothing, or too long ago."""
        with self._lock:
            gone = self._swept()
            found = self._begun.get(seat)
        for each in gone:
            each.end()
        return found

    def left(self, seat: Seat, page: str) -> B | None:
        """What `page` may come back to: what was begun there, unless that was on this page itself, which shows it
        already. It can be so where the page was let in late."""
        found = self.find(seat)
        return None if found is None or (page and found.page == page) else found

    def _swept(self) -> list[B]:
        """Takes away what is too old or too much. Under the lock."""
        now, gone = self._clock(), []
        for seat, begun in list(self._begun.items()):
            unseen = now - begun.at
            if unseen > KEPT or (len(self._begun) > MOST and (begun.over or unseen > LEFT)):
                gone.append(self._begun.pop(seat))
        return gone


def stopping(stop: Callable[[Seat], None]) -> Callable[[object, object], None]:
    """The handler of a Stop button, whose inputs are what its browser says of itself. Whoever follows what was begun
    on that seat hears what became of it."""
    return lambda owner, tab: stop(Seat.taken(owner, tab))
