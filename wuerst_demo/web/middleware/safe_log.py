"""The server's log: nothing that a client sent, and no more lines than somebody can read."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable

log = logging.getLogger(__name__)

MAX_LINES_PER_WINDOW = 50
WINDOW_S = 10.0
_OWN_LOGGERS = ("wuerst_demo", "uvicorn")
"""Loggers whose messages hold nothing that a client sent."""


def log_error(what: str, error: BaseException) -> None:
    """Log an error in one line: its type and place, not its text, which may quote what a client sent."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    log.error("%s: %s%s", what, type(error).__name__, place)


class SafeFormatter(logging.Formatter):
    """Own messages as they are; of other libraries' the place alone; of exceptions their type and places."""

    def format(self, record: logging.LogRecord) -> str:
        own = record.name.partition(".")[0] in _OWN_LOGGERS
        text = record.getMessage() if own else f"{record.name} at {record.filename}:{record.lineno}"
        line = f"{record.levelname}: {text}"
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line += f"\n{type(error).__name__}"
            if own:  # source lines, without the values in them
                line += "\n" + "".join(traceback.format_tb(error.__traceback__)).rstrip()
        return line


class RateFilter(logging.Filter):
    """At most `MAX_LINES_PER_WINDOW` records in `WINDOW_S` seconds; the next one says how many were left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock, self._begin, self._count = clock, clock(), 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        left_out = self._count - MAX_LINES_PER_WINDOW
        if now - self._begin >= WINDOW_S:
            self._begin, self._count = now, 0
            if left_out > 0:
                record.msg = f"{record.msg} ({left_out} lines before this one were left out)"
        self._count += 1
        return self._count <= MAX_LINES_PER_WINDOW


def configure_log() -> None:
    """Send all records of this process to standard error, formatted and bounded as above."""
    handler = logging.StreamHandler()
    handler.setFormatter(SafeFormatter())
    handler.addFilter(RateFilter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
