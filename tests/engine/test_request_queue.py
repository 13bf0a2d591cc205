"""Queue of an engine: limits for new requests, grace times, and what is kept of ended requests."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.engine.clients import Clock, ends, finish, make_request, results
from tests.fakes.cascade import FakeCascade
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.request_queue import MAX_UNSEEN_REQUESTS
from wuerst_demo.errors import Abandoned, QueueFull, Unavailable, UserError
from wuerst_demo.events import Done


def leave(engine, session, **values):
    """Submit a request and close its ticket; returns its id."""
    ticket = engine.submit(make_request(**values), session)
    ticket.close()
    return ticket.id


def generate(engine, request, session):
    ticket = engine.submit(request, session)
    finish(engine)
    return list(ticket)


# ------------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("session", [None, "", 7, b"ann", "a" * 201])
def test_an_invalid_session_is_rejected(session):
    with pytest.raises(UserError, match="session"):
        Engine(FakeCascade()).submit(make_request(), session)


def test_the_longest_session_is_accepted():
    assert Engine(FakeCascade()).submit(make_request(), "a" * 200).id


def test_a_full_engine_reports_the_time_to_wait_and_then_takes_more():
    clock = Clock()
    engine = Engine(FakeCascade(between=lambda: clock.advance(1)), max_images=6, max_session_images=4, clock=clock)
    first = engine.submit(make_request(images=4), "ann")
    with pytest.raises(QueueFull, match=r"one user may have \(4\); try again in a minute"):
        engine.submit(make_request(), "ann")
    second = engine.submit(make_request(images=2), "ben")
    with pytest.raises(QueueFull, match="queue is full") as refused:
        engine.submit(make_request(), "cid")
    assert refused.value.wait_s is None  # nothing has been measured yet
    finish(engine)
    assert len(results(first)) + len(results(second)) == 6
    kept = engine.submit(make_request(images=6), "ann")  # more than ann may have, but there is nothing else
    with pytest.raises(QueueFull) as refused:
        engine.submit(make_request(images=6), "cid")
    # Six images in one batch: three steps of a second each.
    assert refused.value.wait_s == pytest.approx(3)
    assert "in about 3 s" in str(refused.value)
    kept.close()
    assert len(results(generate(engine, make_request(images=6), "cid"))) == 6


def test_by_default_64_images_and_16_of_a_session_are_admitted():
    engine = Engine(FakeCascade())
    tickets = [engine.submit(make_request(images=8), f"client {k // 2}") for k in range(8)]
    with pytest.raises(QueueFull, match="queue is full \\(64\\)"):
        engine.submit(make_request(), "another")
    with pytest.raises(QueueFull, match="one user may have \\(16\\)"):
        engine.submit(make_request(), "client 0")
    assert len(tickets) == 8


def measured(**limits):
    """An engine that knows: four images of 128 x 1024 take 3 s together."""
    clock = Clock()
    engine = Engine(FakeCascade(between=lambda: clock.advance(1)), clock=clock, **limits)
    generate(engine, make_request(images=4, width=128), "ann")
    return engine


def test_a_request_that_nearly_fits_waits_for_a_share_of_the_queue():
    engine = measured(max_images=6, max_session_images=6)
    ticket = engine.submit(make_request(images=4, width=128), "ann")
    with pytest.raises(QueueFull) as refused:
        engine.submit(make_request(images=3, width=128), "ben")  # one image too many, of the four there
    assert refused.value.wait_s == pytest.approx(3 / 4)
    assert "in about 1 s" in str(refused.value)
    ticket.close()


def test_a_session_at_its_limit_waits_for_its_share_of_the_steps():
    engine = measured(max_images=60, max_session_images=6)
    tickets = [engine.submit(make_request(images=4, width=128), session) for session in ("ann", "ben", "cid")]
    with pytest.raises(QueueFull, match="one user may have") as refused:
        engine.submit(make_request(images=3, width=128), "ann")
    assert refused.value.wait_s == pytest.approx(3 * 3 / 4)  # every third step is ann's
    for ticket in tickets:
        ticket.close()


def test_a_request_that_fits_exactly_is_accepted():
    engine = Engine(FakeCascade(), max_images=6, max_session_images=6)
    tickets = [engine.submit(make_request(images=4), "ann"), engine.submit(make_request(images=2), "ann")]
    finish(engine)
    assert [len(results(ticket)) for ticket in tickets] == [4, 2]


# ---------------------------------------------------------------------------------------------------- share by address


def fill(engine, address, images=8, most=64):
    """Submit requests of new sessions of an address until one is rejected; the number of images that were admitted."""
    admitted = 0
    with suppress(QueueFull):
        while admitted < most:
            engine.submit(make_request(images=images), f"{address} {admitted}", address=address)
            admitted += images
    return admitted


def test_one_address_has_half_of_the_queue_however_many_sessions_it_opens():
    engine = Engine(FakeCascade(), grace_s=60)
    assert fill(engine, "192.0.2.1", images=8) == 32
    assert fill(engine, "192.0.2.1", images=1) == 0
    with pytest.raises(QueueFull, match=r"Your network has its share of the queue \(32\)"):
        engine.submit(make_request(), "another", address="192.0.2.1")


def test_addresses_have_equal_parts_with_room_for_one_more():
    engine = Engine(FakeCascade(), grace_s=60)
    assert fill(engine, "192.0.2.1", images=1) == 64 // 2
    assert fill(engine, "192.0.2.2", images=1) == 64 // 3
    assert fill(engine, "192.0.2.3", images=1) == 64 - 64 // 2 - 64 // 3  # a quarter would be more than is left


def test_who_has_nothing_in_the_queue_is_admitted_whatever_the_share():
    engine = Engine(FakeCascade(), grace_s=60)
    fill(engine, "192.0.2.1")
    for number in range(2, 6):
        assert engine.submit(make_request(images=8), f"new {number}", address=f"192.0.2.{number}").id
    with pytest.raises(QueueFull, match="queue is full"):
        engine.submit(make_request(), "late", address="192.0.2.9")


def test_clients_whose_address_is_unknown_fill_the_whole_queue():
    assert fill(Engine(FakeCascade(), grace_s=60), "", most=100) == 64


def test_an_address_may_submit_again_as_its_images_are_finished():
    engine = Engine(FakeCascade(), max_images=8, grace_s=60)
    fill(engine, "192.0.2.1", images=2)
    other = engine.submit(make_request(), "ben", address="192.0.2.2")
    finish(engine)
    assert fill(engine, "192.0.2.1", images=2, most=4) == 4
    assert len(results(other)) == 1


def test_an_address_at_its_share_waits_for_the_steps_of_all_its_sessions():
    engine = measured(max_images=16, max_session_images=16)
    tickets = [
        engine.submit(make_request(images=4, width=128), session, address=address)
        for session, address in (("ann", "192.0.2.1"), ("ben", "192.0.2.2"), ("cid", "192.0.2.3"))
    ]
    with pytest.raises(QueueFull, match="Your network") as refused:
        engine.submit(make_request(images=3, width=128), "another", address="192.0.2.1")
    assert refused.value.wait_s == pytest.approx(3 * 3 * 3 / 4)  # every third step is for this address
    for ticket in tickets:
        ticket.close()


# -------------------------------------------------------------------------------------------------------- grace time


def test_a_request_goes_on_for_the_grace_time_and_can_be_attached():
    clock = Clock()
    engine = Engine(FakeCascade(), grace_s=30, clock=clock)
    ticket = engine.submit(make_request(images=2), "ann")
    next(ticket)
    ticket.close()
    assert list(ticket) == []
    finish(engine)
    clock.advance(29)
    found = list(engine.attach(ticket.id, "ann"))
    assert [result.index for result in results(found)] == [0, 1]
    assert isinstance(found[-1], Done)
    clock.advance(2)
    with pytest.raises(UserError, match="does not exist any more"):
        engine.attach(ticket.id, "ann")
    assert engine.request_count == 0


def test_a_request_without_a_reader_is_stopped_and_forgotten():
    clock = Clock()
    cascade = FakeCascade()
    engine = Engine(cascade, grace_s=30, clock=clock)
    ticket = engine.submit(make_request(prior_steps=9), "ann")
    engine.step()
    engine.step()
    ticket.close()
    clock.advance(30)
    finish(engine)
    assert len(cascade.steps) == 1
    assert engine.request_count == 0


# -------------------------------------------------------------------------------------------------------------- keep


def test_an_unseen_end_is_kept_for_its_time_and_then_no_more():
    clock = Clock()
    engine = Engine(FakeCascade(), grace_s=30, keep_s=1800, clock=clock)
    early, late = leave(engine, "ann"), leave(engine, "ben")
    finish(engine)
    clock.advance(1700)
    engine.step()
    assert len(results(engine.attach(early, "ann"))) == 1
    clock.advance(200)
    engine.step()
    with pytest.raises(UserError, match="does not exist any more"):
        engine.attach(late, "ben")
    assert engine.request_count == 0


def test_a_seen_end_is_kept_for_the_grace_time_only():
    clock = Clock()
    engine = Engine(FakeCascade(), grace_s=30, keep_s=1800, clock=clock)
    ticket = engine.submit(make_request(), "ann")
    finish(engine)
    list(ticket)
    clock.advance(29)
    engine.step()
    assert engine.request_count == 1
    clock.advance(2)
    engine.step()
    assert engine.request_count == 0


def test_a_running_request_has_the_grace_time_only():
    clock = Clock()
    cascade = FakeCascade()
    engine = Engine(cascade, grace_s=30, keep_s=1800, clock=clock)
    leave(engine, "ann")
    engine.step()
    clock.advance(31)
    finish(engine)
    assert cascade.steps == []
    assert engine.request_count == 0


def half_finished(engine, session):
    """A ticket of a request of two images, one of which is finished."""
    ticket = engine.submit(make_request(images=2), session)
    engine.step()
    while engine.stage_counts.total() == 2:
        engine.step()
    return ticket


def test_of_an_abandoned_request_the_finished_images_are_kept():
    clock = Clock()
    engine = Engine(FakeCascade(), max_batch_size=1, grace_s=30, keep_s=1800, clock=clock)
    ticket = half_finished(engine, "ann")
    ticket.close()
    clock.advance(31)
    finish(engine)
    clock.advance(1700)
    engine.step()
    again = engine.attach(ticket.id, "ann")
    seen = []
    with pytest.raises(Abandoned):
        seen.extend(iter(again.__next__, None))
    assert len(results(seen)) == 1
    clock.advance(31)
    engine.step()
    assert engine.request_count == 0


def test_of_a_cancelled_request_nothing_is_kept():
    engine = Engine(FakeCascade(), max_batch_size=1, grace_s=30, keep_s=1800, clock=Clock())
    ticket = half_finished(engine, "ann")
    ticket.cancel()
    finish(engine)
    engine.step()
    assert engine.request_count == 0


def test_the_number_of_unseen_requests_that_are_kept_is_limited():
    engine = Engine(FakeCascade(), grace_s=30, keep_s=1800, clock=Clock(), max_images=2 * MAX_UNSEEN_REQUESTS)
    ids = [leave(engine, f"client {k}") for k in range(MAX_UNSEEN_REQUESTS + 2)]
    finish(engine)
    engine.step()
    assert engine.request_count == MAX_UNSEEN_REQUESTS
    found = 0
    for k, id in enumerate(ids):
        with suppress(UserError):
            found += len(results(engine.attach(id, f"client {k}")))
    assert found == MAX_UNSEEN_REQUESTS


def test_closing_ends_and_forgets_everything():
    engine = Engine(FakeCascade(), grace_s=30, keep_s=1800)
    ticket = engine.submit(make_request(), "ann")
    leave(engine, "ben")
    finish(engine)
    engine.close()
    assert engine.request_count == 0
    assert ends(ticket)[1] == "Done"  # it was over before


def test_an_engine_that_ends_says_so_by_its_own_kind_of_error():
    engine = Engine(FakeCascade())
    ticket = engine.submit(make_request(), "ann")
    engine.close()
    assert isinstance(ticket.read_available()[1], Unavailable)
    with pytest.raises(Unavailable):
        engine.submit(make_request(), "ann")
