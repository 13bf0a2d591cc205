"""Tickets: reading slowly, waiting, closing, cancelling, and being replaced by another reader."""

from __future__ import annotations

import threading

import pytest

from tests.engine.clients import Clock, ends, finish, make_request, newest, results
from tests.fakes.cascade import FakeCascade
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.request_queue import STOPPED_MESSAGE
from wuerst_demo.errors import Cancelled
from wuerst_demo.events import Done, Progress, Queued


def test_a_slow_reader_gets_the_newest_progress_and_every_image():
    engine = Engine(FakeCascade())
    ticket = engine.submit(make_request(images=3, prior_steps=50, decoder_steps=50), "ann")
    finish(engine)
    events = list(ticket)
    assert len(events) == 3 + 3 + 1
    assert [result.index for result in results(events)] == [0, 1, 2]


def test_without_news_the_newest_event_is_repeated():
    ticket = Engine(FakeCascade()).submit(make_request(), "ann")  # never started: nothing will come
    assert [newest(ticket), newest(ticket)] == [Queued(1), Queued(1)]


def test_a_ticket_closed_in_another_thread_wakes_its_reader():
    ticket = Engine(FakeCascade()).submit(make_request(), "ann")
    next(ticket)
    threading.Timer(0.05, ticket.close).start()
    assert list(ticket) == []


def test_a_cancel_wakes_the_reader_at_once():
    hold = threading.Event()
    with Engine(FakeCascade(between=lambda: hold.wait(200))) as engine:
        ticket = engine.submit(make_request(), "ann")
        ticket.cancel()
        assert ends(ticket)[1] == STOPPED_MESSAGE  # though the step is still going on
        hold.set()


def test_a_cancelled_request_raises_cancelled():
    ticket = Engine(FakeCascade()).submit(make_request(), "ann")
    ticket.cancel()
    with pytest.raises(Cancelled):
        list(ticket)


def test_an_old_ticket_cannot_detach_the_next_reader():
    clock = Clock()
    engine = Engine(FakeCascade(), grace_s=1, clock=clock)
    ticket = engine.submit(make_request(), "ann")
    ticket.close()
    again = engine.attach(ticket.id, "ann")
    ticket.close()
    del ticket
    clock.advance(2)
    finish(engine)
    assert len(results(again)) == 1


def test_a_ticket_names_its_request():
    request = make_request()
    ticket = Engine(FakeCascade()).submit(request, "ann")
    assert ticket.request is request
    assert not ticket.over


def test_a_ticket_is_read_without_waiting_and_its_listener_told_of_news():
    engine, told = Engine(FakeCascade()), []
    ticket = engine.submit(make_request(images=2), "ann")
    ticket.listen(told.append)
    assert ticket.read_available() == ([Queued(1)], None)
    assert ticket.read_available() == ([], None)
    finish(engine)
    events, error = ticket.read_available()
    assert [result.index for result in results(events)] == [0, 1]
    assert (type(events[-1]), error) == (Done, None)
    assert told[-1] is None
    assert [type(each) for each in told].count(Progress) == 2 * (2 + 1 + 1)
    assert results(told) == results(events)


def test_reading_without_waiting_gives_the_error_that_ended_a_request():
    engine = Engine(FakeCascade())
    ticket = engine.submit(make_request(), "ann")
    ticket.cancel()
    assert isinstance(ticket.read_available()[1], Cancelled)
