"""Live pictures in the engine: they give way to all other requests, and share their steps with each other."""

from __future__ import annotations

import pytest

from tests.engine.clients import Clock, ends, finish, make_request, results
from tests.fakes.cascade import FakeCascade
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.request_queue import LIVE_PATIENCE_S
from wuerst_demo.errors import QueueFull
from wuerst_demo.events import Progress, Queued, Result


def timed_engine(**options):
    """An engine whose steps take 0.1 s of a clock, and the clock."""
    clock = Clock()
    cascade = FakeCascade(between=lambda: clock.advance(0.1))
    return Engine(cascade, clock=clock, **options), clock, cascade


def test_live_pictures_of_several_sessions_share_their_steps():
    engine, _, cascade = timed_engine()
    tickets = [engine.submit(make_request(seed=k), f"typist {k}", live=True) for k in range(4)]
    finish(engine)
    assert [len(results(ticket)) for ticket in tickets] == [1] * 4
    shared = [[(k, stage, step) for k in range(4)] for stage, step in (("prior", 0), ("prior", 1), ("decoder", 0))]
    assert [sorted(batch) for batch in cascade.steps] == shared


def test_a_live_picture_waits_until_the_others_are_done():
    engine, _, cascade = timed_engine()
    live = engine.submit(make_request(seed=1, width=256), "ann", live=True)
    other = engine.submit(make_request(seed=2), "ben")
    finish(engine)
    assert [batch[0][0] for batch in cascade.steps] == [2, 2, 2, 1, 1, 1]
    assert len(results(live)) == len(results(other)) == 1


def test_a_live_picture_that_has_waited_too_long_is_given_up():
    engine, _, _ = timed_engine()
    live = engine.submit(make_request(width=256), "ann", live=True)
    other = engine.submit(make_request(prior_steps=int(LIVE_PATIENCE_S / 0.1) + 2), "ben")
    finish(engine)
    seen, end = ends(live)
    assert (seen, end) == ([], "Others are waiting for their pictures; live pictures go on when they have them.")
    assert len(results(other)) == 1
    with pytest.raises(StopIteration):
        next(live)


def test_a_live_picture_that_nobody_keeps_waiting_takes_its_time():
    engine, clock, _ = timed_engine()
    live = engine.submit(make_request(), "ann", live=True)
    while engine.step():
        clock.advance(10 * LIVE_PATIENCE_S)
    assert len(results(live)) == 1


def test_a_live_picture_ends_with_its_reader_whatever_the_grace_time():
    engine, _, cascade = timed_engine(grace_s=60.0, keep_s=60.0)
    engine.submit(make_request(), "ann", live=True).close()
    finish(engine)
    assert cascade.steps == []
    done = engine.submit(make_request(), "ann", live=True)
    finish(engine)
    assert len(results(done)) == 1
    done.close()
    engine.step()
    assert engine.request_count == 0


def test_a_live_picture_has_no_place_in_the_queue_and_no_previews():
    engine = Engine(FakeCascade())
    ticket = engine.submit(make_request(), "ann", live=True)
    with engine:
        seen = list(ticket)
    assert not [event for event in seen if isinstance(event, Queued)]
    previews = [event.preview for event in seen if isinstance(event, Progress)]
    assert previews == [None] * len(previews) != []
    assert len([event for event in seen if isinstance(event, Result)]) == 1


def test_live_pictures_take_no_place_from_other_requests():
    engine, _, _ = timed_engine(max_images=2, max_session_images=2)
    tickets = [engine.submit(make_request(), f"typist {k}", live=True) for k in range(2)]
    with pytest.raises(QueueFull, match="queue is full"):
        engine.submit(make_request(), "typist 3", live=True)
    assert engine.stage_counts.total() == 0
    other = engine.submit(make_request(images=2), "ben")
    finish(engine)
    assert len(results(other)) == 2
    assert [len(results(ticket)) for ticket in tickets] == [1, 1]


def test_live_pictures_count_for_the_limit_of_their_session():
    engine, _, _ = timed_engine(max_session_images=2)
    tickets = [engine.submit(make_request(), "ann", live=True) for _ in range(2)]
    for live in (True, False):
        with pytest.raises(QueueFull, match="one user may have"):
            engine.submit(make_request(), "ann", live=live)
    assert len(tickets) == 2


def test_live_pictures_do_not_lengthen_the_estimates_of_others():
    engine, _, _ = timed_engine()
    alone = engine.submit(make_request(), "ann")
    finish(engine)
    assert len(results(alone)) == 1
    expected = engine.estimate(make_request())
    ticket = engine.submit(make_request(), "typist", live=True)
    assert engine.estimate(make_request()) == expected
    other = engine.submit(make_request(), "ben")
    assert next(other) == Queued(1, 0.0)
    assert not ticket.over
