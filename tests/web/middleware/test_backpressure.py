"""Backpressure on handlers whose client does not read."""

import asyncio
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.context import LocalContext

from wuerst_demo.web.middleware import backpressure


class Page:
    """Stands for a page with one handler, and one visitor whose messages wait."""

    def __init__(self, handler):
        self.messages = asyncio.Queue()
        self.event = SimpleNamespace(session_hash="me", alive=True)
        jobs = [None, [self.event]]
        self._queue = SimpleNamespace(pending_messages_per_session={"me": self.messages}, active_jobs=jobs)
        self.fns = {0: SimpleNamespace(fn=handler)}
        backpressure.apply_backpressure(self)

    def answers(self, session="me"):
        token = LocalContext.request.set(SimpleNamespace(session_hash=session))
        try:
            for answer in self.fns[0].fn():
                self.messages.put_nowait(answer)
                yield answer
        finally:
            LocalContext.request.reset(token)


@pytest.fixture
def closed():
    return []


@pytest.fixture
def page(closed):
    def endless():
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    return Page(endless)


def test_a_client_that_never_reads_ends_its_handler(page, closed, monkeypatch):
    monkeypatch.setattr(backpressure, "READ_TIMEOUT_S", 0.2)
    seen = []
    with pytest.raises(gr.Error, match="ask again"):
        seen.extend(iter(page.answers().__next__, None))
    assert len(seen) == backpressure.MAX_UNREAD_MESSAGES + 1
    assert closed == [True]


def test_a_disconnected_client_ends_its_handler_at_once(page, closed):
    page.event.alive = False
    with pytest.raises(gr.Error):
        list(page.answers())
    assert closed == [True]


def test_a_client_that_reads_gets_all_answers(page, closed):
    for _ in page.answers():
        page.messages.get_nowait()
    assert closed == [True]


def test_a_slow_client_gets_all_answers(page, monkeypatch):
    def reads_while_it_waits(seconds):
        while not page.messages.empty():
            page.messages.get_nowait()

    monkeypatch.setattr(backpressure.time, "sleep", reads_while_it_waits)
    assert list(page.answers()) == [*range(1000)]


def test_a_call_without_a_session_never_waits(page):
    assert list(page.answers(None)) == [*range(1000)]
