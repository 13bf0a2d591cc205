"""Backpressure: generators stop while the client does not read their answers.

Without it, Gradio queues every answer in memory, and a client that never reads keeps the engine busy.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import gradio as gr
from gradio.context import LocalContext

MAX_UNREAD_MESSAGES = 8
"""Messages that may be unread before the next one is made."""
READ_TIMEOUT_S = 30.0
"""How long a handler waits for its client; then it fails, and its generator is closed."""
_POLL_INTERVAL_S = 0.1


def apply_backpressure(page: gr.Blocks) -> None:
    """Wrap every generator among the handlers of a finished page."""
    for function in page.fns.values():
        if function.fn is not None and inspect.isgeneratorfunction(function.fn):
            function.fn = _with_backpressure(function.fn, page)


def _with_backpressure(handler: Callable[..., Any], page: gr.Blocks) -> Callable[..., Any]:
    @functools.wraps(handler)
    def wrapper(*args: Any, **kwargs: Any) -> Iterator[Any]:
        request = LocalContext.request.get(None)
        session = getattr(request, "session_hash", None)
        with closing(handler(*args, **kwargs)) as answers:
            for answer in answers:
                yield answer
                _wait_until_read(page, session)

    return wrapper


def _wait_until_read(page: gr.Blocks, session: str | None) -> None:
    """Wait until few messages of a session are unread. Raises gr.Error on a timeout or when the client is gone."""
    deadline = time.monotonic() + READ_TIMEOUT_S
    while _count_unread(page, session) > MAX_UNREAD_MESSAGES:
        if time.monotonic() > deadline or not _is_connected(page, session):
            raise gr.Error("Nobody has read the answers for too long; ask again.", print_exception=False)
        time.sleep(_POLL_INTERVAL_S)


def _is_connected(page: gr.Blocks, session: str | None) -> bool:
    """Whether any event of the session is still running: not after a lost connection or a cancellation."""
    events = (event for job in page._queue.active_jobs if job for event in job)
    return any(event.alive and event.session_hash == session for event in events)


def _count_unread(page: gr.Blocks, session: str | None) -> int:
    messages = page._queue.pending_messages_per_session
    return messages[session].qsize() if session is not None and session in messages else 0
