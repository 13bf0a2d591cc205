"""Event buffer: the newest event of each kind and image, in the order of arrival."""

from __future__ import annotations

from tests.engine.clients import make_request
from tests.fakes.cascade import painted
from wuerst_demo.engine.event_buffer import EventBuffer
from wuerst_demo.errors import UserError
from wuerst_demo.events import Done, Progress, Queued, Result


def unread(buffer, number=0):
    """Events after one with that number."""
    found = []
    while event := buffer.next_after(number):
        number = event[0]
        found.append(event[1])
    return found


def step(image, n):
    return Progress(image, "prior", n, 9)


def result(image):
    request = make_request()
    return Result(image, painted(request), request)


def test_a_newer_event_replaces_the_older_one_of_its_image():
    buffer = EventBuffer()
    for event in (step(0, 1), step(1, 1), step(0, 2)):
        assert buffer.put(event)
    assert unread(buffer) == [step(1, 1), step(0, 2)]
    assert buffer.latest == step(0, 2)


def test_the_place_in_the_queue_is_gone_after_the_first_progress():
    buffer = EventBuffer()
    buffer.put(Queued(2))
    buffer.put(Queued(1))
    assert unread(buffer) == [Queued(1)]
    buffer.put(step(0, 1))
    assert unread(buffer) == [step(0, 1)]


def test_a_result_keeps_the_place_in_the_queue():
    buffer = EventBuffer()
    buffer.put(Queued(1))
    assert not buffer.has_result
    finished = result(0)
    buffer.put(finished)
    assert unread(buffer) == [Queued(1), finished]
    assert buffer.has_result


def test_an_equal_event_is_no_news():
    buffer = EventBuffer()
    assert buffer.put(Queued(1))
    assert not buffer.put(Queued(1))
    assert buffer.next_after(1) is None


def test_after_the_end_nothing_is_added():
    buffer = EventBuffer()
    buffer.put(Done(1.0))
    buffer.fail(UserError("too late"))
    assert not buffer.put(step(0, 1))
    assert (buffer.over, buffer.error) == (True, None)


def test_after_a_failure_earlier_events_can_still_be_read():
    buffer, error = EventBuffer(), UserError("no")
    buffer.put(step(0, 1))
    buffer.fail(error)
    buffer.fail(UserError("later"))
    assert unread(buffer) == [step(0, 1)]
    assert buffer.error is error
