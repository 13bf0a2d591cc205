"""Bounds on connections: their number, and the time until a whole request has come.

uvicorn closes a connection that is idle after a response, but waits for ever for its first request.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from wuerst_demo.web.middleware.uploads import UPLOAD_PATH

HEAD_TIMEOUT_S = 20.0
"""Longest time until the head of a request has come."""
BODY_TIMEOUT_S = 120.0
"""Longest time until the body of a request has come, but for an upload."""
UPLOAD_TIMEOUT_S = 480.0
"""Longest time until an uploaded file has come: 64 MiB at 140 KB/s."""
MAX_OPEN_FILES = 65_536
_RESERVED_FILES = 256
_MAX_CONNECTIONS = 8_192
_CHECKS_PER_TIMEOUT = 4


class BoundedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's HTTP protocol that closes connections whose request does not come.

    Of too many connections, the one that has waited longest for its request is closed.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._last_cycle = None
        self._waits_since = self.loop.time()
        self._check = self.loop.call_later(HEAD_TIMEOUT_S / _CHECKS_PER_TIMEOUT, self._close_if_late)
        if len(self.connections) > max_connections():
            waiting = [each for each in self.connections if each.waits_since < math.inf]
            min(waiting, key=lambda each: each.waits_since, default=self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._check.cancel()
        super().connection_lost(exc)

    @property
    def waits_since(self) -> float:
        """Since when a whole request has been missing, on the loop's clock; infinite while one is being answered."""
        cycle = self.cycle
        if cycle is not None and not cycle.more_body and not cycle.response_complete:
            return math.inf
        if cycle is not self._last_cycle:
            self._last_cycle, self._waits_since = cycle, self.loop.time()
        return float(self._waits_since)

    def _close_if_late(self) -> None:
        in_body = self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete
        limit_s = HEAD_TIMEOUT_S
        if in_body:
            limit_s = UPLOAD_TIMEOUT_S if self.scope["path"].rstrip("/").endswith(UPLOAD_PATH) else BODY_TIMEOUT_S
        if self.loop.time() - self.waits_since > limit_s:
            self.transport.abort()
        else:
            self._check = self.loop.call_later(HEAD_TIMEOUT_S / _CHECKS_PER_TIMEOUT, self._close_if_late)


def bounded_config(*args: Any, **options: Any) -> uvicorn.Config:
    """uvicorn's configuration with `BoundedProtocol`, and the process's own log.

    It would believe the proxy headers of every program on this machine; `ClientAddressMiddleware` reads them.
    """
    ours: dict[str, Any] = {
        "http": BoundedProtocol,
        "log_config": None,
        "timeout_graceful_shutdown": 2,
        "proxy_headers": False,
    }
    return uvicorn.Config(*args, **(options | ours))


def max_connections() -> int:
    """Connections that leave enough files for everything else."""
    return max(1, min(_MAX_CONNECTIONS, _open_file_limit() - _RESERVED_FILES))


def raise_open_file_limit() -> None:
    """Raise the process's soft limit of open files as far as it may."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):  # macOS has a limit of its own below
            return


def _open_file_limit() -> int:
    if sys.platform == "win32":
        return MAX_OPEN_FILES
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else soft
