"""Session store: one job per browser tab, to which a reloaded or reconnected page can re-attach."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

SESSION_TTL_S = 1800.0
"""How long a page can re-attach to a job after its last view."""
MAX_SESSIONS = 200
"""Jobs that are kept. Beyond that, the oldest that are over or unwatched are closed."""
UNWATCHED_AFTER_S = 60.0
"""Time after its last view from which a job counts as unwatched."""


@dataclass(frozen=True)
class ClientTab:
    """One tab of one browser."""

    owner: str
    """Secret name of the browser."""
    tab: str = ""
    """Name that the tab gave itself."""

    @classmethod
    def from_browser(cls, owner: object, tab: object) -> ClientTab:
        """The tab from untrusted names. A missing or invalid owner becomes a new client."""
        valid = isinstance(owner, str) and 20 <= len(owner) <= 100 and owner.isascii() and owner.isprintable()
        named = isinstance(tab, str) and len(tab) <= 100
        return cls(str(owner) if valid else secrets.token_urlsafe(24), str(tab) if named else "")


class Session(Protocol):
    """A job of one tab."""

    seen_at: float
    """Time of its last view, by the store's clock."""

    @property
    def page(self) -> str:
        """The page that submitted it; a reloaded page has a new name."""

    @property
    def over(self) -> bool: ...
    def stop(self) -> None:
        """Cancel it within a step if it is running."""

    def close(self) -> None:
        """Cancel it if it is running, and delete its files."""


SessionT = TypeVar("SessionT", bound=Session)


class SessionStore(Generic[SessionT]):
    """The jobs of all clients, at most one a tab. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[ClientTab, SessionT] = {}

    def add(self, client: ClientTab, session: SessionT) -> None:
        """Store the tab's new job and close the previous one."""
        with self._lock:
            previous = self._sessions.pop(client, None)
            self._sessions[client] = session
            expired = self._pop_expired()
        for each in (*expired, *([previous] if previous else [])):
            each.close()

    def find(self, client: ClientTab, page: str = "") -> SessionT | None:
        """The tab's job; None without one, if it has expired, or if `page` submitted it itself and shows it already.

        On a slow connection, a page can submit a job before its load event arrives.
        """
        with self._lock:
            expired = self._pop_expired()
            session = self._sessions.get(client)
        for each in expired:
            each.close()
        return None if session is None or (page and session.page == page) else session

    def stop(self, client: ClientTab) -> None:
        """Cancel the tab's job within a step, if one is running."""
        if session := self.find(client):
            session.stop()

    def _pop_expired(self) -> list[SessionT]:
        """Remove what is too old or too much. The caller holds the lock."""
        now, expired = self._clock(), []
        for client, session in list(self._sessions.items()):
            unseen_s = now - session.seen_at
            removable = session.over or unseen_s > UNWATCHED_AFTER_S
            if unseen_s > SESSION_TTL_S or (len(self._sessions) > MAX_SESSIONS and removable):
                expired.append(self._sessions.pop(client))
        return expired
