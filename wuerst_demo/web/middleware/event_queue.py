"""Shares of Gradio's queue of events, by client address. The engine's queue, behind it, has shares of its own."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.data_classes import PredictBodyInternal
from starlette.requests import Request

from wuerst_demo.engine.request_queue import fair_share
from wuerst_demo.web.i18n.translate import translate_for
from wuerst_demo.web.middleware.client_address import client_address

SHARE_USED_DETAIL = "Your network has its share of what waits here; try again in a few seconds."
MAX_SESSIONS_WITH_MESSAGES = 2000
"""Sessions whose unread messages Gradio keeps."""


def share_event_queue(page: gr.Blocks, max_waiting: int) -> None:
    """Bound the events of one address to its `fair_share` of the `max_waiting` that may wait in a page's queue, and
    keep the messages of sessions whose events wait or run."""
    queue = page._queue
    push = queue.push

    async def push_within_share(body: PredictBodyInternal, request: Request, username: str | None) -> Any:
        address = client_address(request)
        waiting = Counter(client_address(event.request) for event in waiting_events())
        if address and waiting[address] >= fair_share(max_waiting, {address, *waiting}):
            return False, translate_for(request.headers, SHARE_USED_DETAIL), "queue_full"
        return await push(body=body, request=request, username=username)

    def waiting_events() -> list[Any]:
        return [event for each in queue.event_queue_per_concurrency_id.values() for event in each.queue]

    def is_open(session: str) -> bool:
        running = (event for job in queue.active_jobs if job for event in job)
        return any(event.session_hash == session for event in (*waiting_events(), *running))

    def forget(session: str) -> None:
        queue.pending_event_ids_session.pop(session, None)

    queue.push = push_within_share  # type: ignore[method-assign]
    queue.pending_messages_per_session = SessionMessages(is_open, forget)  # type: ignore[assignment]


class SessionMessages(OrderedDict[str, Any]):
    """Message queues by session. Of too many, the oldest goes whose session has no event that waits or runs.

    Gradio drops the oldest of all: by opening sessions, anyone could end the generations of others.
    """

    def __init__(self, is_open: Callable[[str], bool], forget: Callable[[str], None]) -> None:
        super().__init__()
        self._is_open, self._forget = is_open, forget

    def __setitem__(self, session: str, messages: Any) -> None:
        super().__setitem__(session, messages)
        if len(self) > MAX_SESSIONS_WITH_MESSAGES:
            oldest = next((each for each in self if each != session and not self._is_open(each)), session)
            del self[oldest]
            self._forget(oldest)
