"""What the engine keeps of requests that ended while nobody looked."""

from contextlib import suppress

import pytest

from tests.engine.crowd import Clock, finish, request, results
from tests.fakes import FakeCascade
from wuerst_demo.engine.flights import UNSEEN
from wuerst_demo.engine.local import Local
from wuerst_demo.errors import Abandoned, UserError


def left(engine, session):
    ticket = engine.submit(request(), session)
    ticket.close()
    return ticket.id


def test_what_ended_unseen_is_found_for_as_long_as_it_is_kept_and_then_no_more():
    clock = Clock()
    engine = Local(FakeCascade(), grace=30, kept=1800, clock=clock)
    early, late = left(engine, "ann"), left(engine, "ben")
    finish(engine)
    clock.pass_by(1700)
    engine._turn()
    assert len(results(engine.attach(early, "ann"))) == 1
    clock.pass_by(200)
    engine._turn()
    with pytest.raises(UserError, match="no such drawing"):
        engine.attach(late, "ben")
    assert not engine._flights


def test_what_was_seen_to_its_end_is_kept_for_the_grace_time_only():
    clock = Clock()
    engine = Local(FakeCascade(), grace=30, kept=1800, clock=clock)
    ticket = engine.submit(request(), "ann")
    finish(engine)
    list(ticket)
    clock.pass_by(31)
    engine._turn()
    assert not engine._flights


def test_what_is_left_running_still_has_the_grace_time_only():
    clock = Clock()
    cascade = FakeCascade()
    engine = Local(cascade, grace=30, kept=1800, clock=clock)
    left(engine, "ann")
    engine._turn()
    clock.pass_by(31)
    finish(engine)
    assert cascade.steps == []
    assert not engine._flights


def test_of_what_was_stopped_for_want_of_a_reader_the_finished_pictures_are_kept():
    clock = Clock()
    engine = Local(FakeCascade(), rows_at_once=1, grace=30, kept=1800, clock=clock)
    ticket = engine.submit(request(images=2), "ann")
    ticket.close()
    engine._turn()
    while engine._flights.found(ticket.id, "ann").rows == 2:
        engine._turn()
    clock.pass_by(31)
    finish(engine)
    clock.pass_by(1700)
    engine._turn()
    again = engine.attach(ticket.id, "ann")
    seen = []
    with pytest.raises(Abandoned):
        seen.extend(iter(again.__next__, None))
    assert len(results(seen)) == 1
    clock.pass_by(31)
    engine._turn()
    assert not engine._flights


def test_of_what_its_owner_stopped_nothing_is_kept():
    engine = Local(FakeCascade(), rows_at_once=1, grace=30, kept=1800, clock=Clock())
    ticket = engine.submit(request(images=2), "ann")
    engine._turn()
    while engine._flights.found(ticket.id, "ann").rows == 2:
        engine._turn()
    ticket.cancel()
    finish(engine)
    engine._turn()
    assert not engine._flights


def test_of_many_that_ended_unseen_no_more_are_kept_than_memory_should_hold():
    engine = Local(FakeCascade(), grace=30, kept=1800, clock=Clock(), waiting=2 * UNSEEN)
    ids = [left(engine, f"person {k}") for k in range(UNSEEN + 2)]
    finish(engine)
    engine._turn()
    assert len(engine._flights) == UNSEEN
    found = 0
    for k, id in enumerate(ids):
        with suppress(UserError):
            found += len(results(engine.attach(id, f"person {k}")))
    assert found == UNSEEN
