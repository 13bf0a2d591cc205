"""Shares of Gradio's queue by client address."""

from __future__ import annotations

from types import SimpleNamespace

from tests.fakes.server import get, post, serve_page
from tests.fakes.web import FakePipeline, fake_context
from wuerst_demo.settings import Settings
from wuerst_demo.web.middleware.event_queue import MAX_SESSIONS_WITH_MESSAGES, SHARE_USED_DETAIL
from wuerst_demo.web.page import MAX_OPEN_GENERATIONS, MAX_QUEUED_EVENTS, build_page


def test_one_address_fills_half_of_the_waiting_places_and_others_find_the_rest():
    pipeline = FakePipeline()
    pipeline.hold(0, "prior", 1)
    with serve_page(fake_context(pipeline), Settings(trusted_proxy=("127.0.0.1",))) as page:

        def call(address):
            headers = {"x-forwarded-for": address}
            return post(f"{page}gradio_api/call/v2/generate", json={"prompt": "a cat"}, headers=headers)

        greedy = [call("192.0.2.1") for _ in range(MAX_OPEN_GENERATIONS + MAX_QUEUED_EVENTS)]
        taken = [each for each in greedy if each.status_code == 200]
        assert len(taken) == MAX_OPEN_GENERATIONS + MAX_QUEUED_EVENTS // 2
        assert greedy[-1].status_code == 503
        assert greedy[-1].json()["detail"] == SHARE_USED_DETAIL
        others = [call(f"192.0.2.{number}") for number in range(2, 10)]
        assert [each.status_code for each in others] == [200] * len(others)
        pipeline.release()
        for each in others:
            assert '"Done"' in get(f"{page}gradio_api/call/generate/{each.json()['event_id']}").text


def test_new_sessions_never_end_the_events_of_another():
    page = build_page(fake_context())
    queue = page._queue
    waiting, running = SimpleNamespace(session_hash="waits"), SimpleNamespace(session_hash="runs")
    queue.event_queue_per_concurrency_id["generate"] = SimpleNamespace(queue=[waiting])
    queue.active_jobs = [None, [running]]
    for session in ("waits", "runs", "over"):
        queue.pending_messages_per_session[session] = session
        queue.pending_event_ids_session[session] = {"unread"}
    for number in range(MAX_SESSIONS_WITH_MESSAGES):
        queue.pending_messages_per_session[f"new {number}"] = number
    kept = queue.pending_messages_per_session
    assert len(kept) == MAX_SESSIONS_WITH_MESSAGES
    assert (kept["waits"], kept["runs"]) == ("waits", "runs")
    assert {"over", "new 0", "new 1"}.isdisjoint(kept)
    assert set(queue.pending_event_ids_session) == {"waits", "runs"}
