"""Answers wait until they are read: without that, whoever asks and never listens has the server draw on for nobody, and
keep all that it says in memory.

Does not know what the answers are.
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

BEHIND = 8
"""Messages that may wait to be read before the next one is made."""
PATIENCE = 30.0
"""Seconds for which a handler waits; then it fails, and what it had begun is as if its page had been closed."""
_LOOK = 0.1


def heed(page: gr.Blocks) -> None:
    """Makes every handler that answers more than once wait for its visitor. For a finished page."""
    for function in page.fns.values():
        if function.fn is not None and inspect.isgeneratorfunction(function.fn):
            function.fn = _heeding(function.fn, page)


def _heeding(handler: Callable[..., Any], page: gr.Blocks) -> Callable[..., Any]:
    @functools.wraps(handler)
    def answered(*args: Any, **kwargs: Any) -> Iterator[Any]:
        request = LocalContext.request.get(None)
        session = getattr(request, "session_hash", None)
        with closing(handler(*args, **kwargs)) as answers:
            for answer in answers:
                yield answer
                _let_read(page, session)

    return answered


def _let_read(page: gr.Blocks, session: str | None) -> None:
    """Waits until a visitor has read most of what there is. Raises gr.Error where that takes too long, or where the
    visitor has gone."""
    end = time.monotonic() + PATIENCE
    while _waiting(page, session) > BEHIND:
        if time.monotonic() > end or not _there(page, session):
            raise gr.Error("Nobody has read the answers for too long; ask again.", print_exception=False)
        time.sleep(_LOOK)


def _there(page: gr.Blocks, session: str | None) -> bool:
    """Whether anything is still being answered to a visitor: not once the connection was lost, or all was stopped."""
    jobs = (event for events in page._queue.active_jobs if events for event in events)
    return any(event.alive and event.session_hash == session for event in jobs)


def _waiting(page: gr.Blocks, session: str | None) -> int:
    """How many messages a visitor has not read yet."""
    messages = page._queue.pending_messages_per_session
    return messages[session].qsize() if session is not None and session in messages else 0
