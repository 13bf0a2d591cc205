"""Base of the views in which a tab shows running work, and the one place where errors become text for the user."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, TypeVar

from wuerst_demo.errors import WuerstError

log = logging.getLogger(__name__)

ViewState = Literal["waiting", "running", "done", "stopped", "rejected", "failed"]
"""Also the CSS class of the status line."""
Clock = Callable[[], float]
INTERNAL_ERROR_MESSAGE = "An internal error occurred; it is in the server's log. Try again, or with other settings."
OPENED_ELSEWHERE_MESSAGE = "Continued in another window of this browser."
MIN_VIEW_INTERVAL_S = 0.2
"""Minimum time between two views that differ in progress only. A view is a message to the browser, which takes time of
the server's and the browser's processor while the picture is being made."""


@dataclass(frozen=True)
class View:
    """State of a tab's work at one moment."""

    state: ViewState
    message: str
    fraction: float = 0.0
    """Share of the work that is done, 0 to 1."""

    @property
    def over(self) -> bool:
        return self.state not in ("waiting", "running")


V = TypeVar("V", bound=View)


class ErrorCatcher(AbstractContextManager["ErrorCatcher"]):
    """Context manager that keeps the exception of its block in `error` instead of raising it."""

    error: Exception | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> bool:
        self.error = error if isinstance(error, Exception) else None
        return self.error is not None


def error_message(error: Exception) -> str:
    """The text to show for an error. An unexpected error is logged, and its text is not shown."""
    if isinstance(error, WuerstError):
        return error.message
    log.error("Unexpected error in a handler", exc_info=error)
    return INTERNAL_ERROR_MESSAGE


def end_with_error(view: V, error: Exception) -> V:
    """The view of work that an error has ended."""
    state: ViewState = "rejected" if isinstance(error, WuerstError) else "failed"
    return replace(view, state=state, message=error_message(error))
