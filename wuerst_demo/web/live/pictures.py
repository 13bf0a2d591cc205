"""The newest live pictures of all browser tabs, for users who keep one: in memory, and not many."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict

from wuerst_demo.events import Result
from wuerst_demo.web.shared.sessions import ClientTab

MAX_PICTURES_PER_TAB = 2
"""The one that the browser shows, and the one that is on its way to it."""
MAX_PICTURE_BYTES = 64 * 2**20
"""Bytes of all pictures; beyond that, those of the tabs that have been idle for longest are dropped."""


class LivePictures:
    """Finished live pictures by tab and id. Thread-safe."""

    def __init__(self, max_bytes: int = MAX_PICTURE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._tabs: OrderedDict[ClientTab, dict[str, Result]] = OrderedDict()

    def add(self, client: ClientTab, result: Result) -> str:
        """Remember a tab's newest picture; returns its id."""
        id = secrets.token_urlsafe(16)
        with self._lock:
            pictures = self._tabs.setdefault(client, {})
            pictures[id] = result
            if len(pictures) > MAX_PICTURES_PER_TAB:
                del pictures[next(iter(pictures))]
            self._tabs.move_to_end(client)
            while len(self._tabs) > 1 and self._total_bytes() > self._max_bytes:
                self._tabs.popitem(last=False)
        return id

    def find(self, client: ClientTab, id: object) -> Result | None:
        """The picture of a tab with this id; None if it has been dropped, or is another tab's."""
        with self._lock:
            return self._tabs.get(client, {}).get(id) if isinstance(id, str) else None

    def _total_bytes(self) -> int:
        sizes = (each.image.size for pictures in self._tabs.values() for each in pictures.values())
        return sum(3 * width * height for width, height in sizes)
