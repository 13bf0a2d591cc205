"""State of a request: readers, remaining time, waits for memory, outcome."""

from __future__ import annotations

import threading

from tests.engine.clients import make_request
from tests.fakes.cascade import FakeCascade, painted
from wuerst_demo.engine.observer import RequestOutcome
from wuerst_demo.engine.request_state import ETA_INTERVAL_S, MAX_MEMORY_WAITS, RequestState
from wuerst_demo.errors import Cancelled, UserError
from wuerst_demo.events import Done, Queued, Result


def request_state(**values):
    lock = threading.RLock()
    return RequestState(make_request(**values), "ann", 1, threading.Condition(lock), submitted_at=1000.0)


def started(now=1010.0, **values):
    """A request whose prompt was encoded at `now`, in 2 s, and its images."""
    state = request_state(**values)
    with state.changed:
        state.start(FakeCascade().begin(state.request), 2.0, now)
    return state, [item.image for item in state.work_items(lambda image: 8)]


class CountingCondition(threading.Condition):
    notified = 0

    def notify_all(self):
        self.notified += 1
        super().notify_all()


def test_readers_are_notified_of_every_new_event_and_of_no_other():
    changed = CountingCondition()
    state = RequestState(make_request(), "ann", 1, changed)
    with changed:
        for event, notified in ((Queued(2), 1), (Queued(2), 1), (Queued(1), 2)):
            state.put(event)
            assert changed.notified == notified
        state.fail(UserError("no"), 1001.0)
        assert changed.notified == 3
        state.put(Queued(3))
    assert changed.notified == 3


def test_the_remaining_time_is_estimated_at_intervals_and_counted_down():
    state, (image,) = started(prior_steps=9)
    estimates = iter([5.0, 3.0])
    shown = []
    with state.changed:
        for elapsed_s in (0.0, 0.4 * ETA_INTERVAL_S, 0.8 * ETA_INTERVAL_S, 1.1 * ETA_INTERVAL_S):
            state.report_step(image, image.state, 1010.0 + elapsed_s, lambda: next(estimates))
            shown.append(state.buffer.latest.remaining_s)
    assert [round(seconds, 9) for seconds in shown] == [5.0, 5 - 0.4 * ETA_INTERVAL_S, 5 - 0.8 * ETA_INTERVAL_S, 3.0]


def test_the_remaining_time_is_never_negative():
    state, (image,) = started(prior_steps=9)
    with state.changed:
        for elapsed_s in (0.0, 0.9 * ETA_INTERVAL_S):
            state.report_step(image, image.state, 1010.0 + elapsed_s, lambda: 0.01)
    assert state.buffer.latest.remaining_s == 0


def test_a_request_waits_for_memory_a_limited_number_of_times():
    state, other = request_state(), request_state()
    with state.changed:
        assert [state.wait_for([other]) for _ in range(MAX_MEMORY_WAITS + 1)] == [True] * MAX_MEMORY_WAITS + [False]


def test_a_step_that_succeeds_starts_the_count_of_waits_again():
    state, (image,) = started(prior_steps=9)
    other = request_state()
    with state.changed:
        for _ in range(MAX_MEMORY_WAITS):
            assert state.wait_for([other])
        state.add_step(image, image.state, 1.0, 1011.0)
        assert [state.wait_for([other]) for _ in range(MAX_MEMORY_WAITS + 1)] == [True] * MAX_MEMORY_WAITS + [False]


def test_a_waiting_request_has_work_again_when_another_has_ended():
    (state, _), (first, _), (second, _) = started(), started(), started()
    with state.changed:
        state.wait_for([first, second])
    assert state.blocked
    assert state.work_items(lambda image: 8) == []
    with second.changed:
        second.fail(UserError("no"), 1011.0)
    assert not state.blocked
    assert len(state.work_items(lambda image: 8)) == 1


def test_a_request_is_abandoned_some_time_after_its_reader_has_left():
    state, reader = request_state(), object()
    state.attach(reader)
    assert not state.is_abandoned(9999.0, 0.0)
    state.detach(object(), 1000.0, read_to_end=True)
    assert state.has_reader
    assert not state.read_to_end
    state.detach(reader, 1000.0, read_to_end=False)
    assert [state.is_abandoned(now, 30.0) for now in (1000.0, 1029.9, 1030.0)] == [False, False, True]
    assert not state.read_to_end


def test_the_outcome_has_the_waits_since_the_submission():
    state, (image,) = started()
    with state.changed:
        state.add_picture(image, painted(image.state.request), 1.0, 1015.0, lambda: 0.0)
    assert state.outcome == RequestOutcome("done", first_step_s=8.0, first_image_s=15.0)
    _, result = state.buffer.next_after(1)  # after its Progress
    assert result.seconds["total"] == 7


def test_the_outcome_tells_cancelled_from_failed():
    for error, end in ((UserError("no"), "failed"), (Cancelled("no"), "cancelled")):
        state = request_state()
        with state.changed:
            state.fail(error, 1001.0)
            state.fail(UserError("later"), 1002.0)
        assert state.outcome == RequestOutcome(end)
        assert (state.buffer.error, state.ended_at) == (error, 1001.0)


def test_after_the_end_steps_in_progress_change_nothing():
    state, (image,) = started()
    with state.changed:
        state.fail(Cancelled("no"), 1011.0)
        state.add_step(image, image.state, 1.0, 1012.0)
        state.report_step(image, image.state, 1012.0, lambda: 1.0)
        state.add_picture(image, painted(image.state.request), 1.0, 1012.0, lambda: 1.0)
    assert state.images == []
    assert state.stage_counts.total() == 0
    assert state.buffer.next_after(0) is None
    assert state.ended_at == 1011.0


def test_an_image_that_fails_twice_ends_its_request():
    state, (image, _) = started(images=2)
    with state.changed:
        state.fail_alone(image, UserError("no"), 1011.0)
        assert not state.over
        alone, other = state.work_items(lambda image: 8)
        assert (alone.max_batch_size, other.max_batch_size) == (1, 8)
        assert alone.key != other.key
        state.fail_alone(image, UserError("no"), 1012.0)
    assert state.over


def test_images_are_counted_by_stage_and_wait_before_the_prompt_is_encoded():
    state = request_state(images=3)
    assert state.stage_counts == {"waiting": 3}
    assert [(item.stage, item.rank, item.max_batch_size) for item in state.work_items(lambda image: 8)] == [
        ("text", (0, 1), 1)
    ]
    with state.changed:
        state.start(FakeCascade().begin(state.request), 2.0, 1010.0)
    assert state.stage_counts == {"prior": 3}
    assert [(item.stage, item.rank, item.max_batch_size) for item in state.work_items(lambda image: 8)] == [
        ("prior", (1, 1, number), 8) for number in range(3)
    ]
    rejected = request_state()
    with rejected.changed:
        rejected.fail(UserError("no"), 1001.0)
    assert rejected.unfinished == 0


def test_the_first_picture_counts_and_each_has_its_own_seconds():
    state, images = started(images=2)
    with state.changed:
        for image, now in zip(images, (1015.0, 1021.0), strict=True):
            state.add_picture(image, painted(image.state.request), 1.5, now, lambda: 0.0)
    assert state.outcome == RequestOutcome("done", first_step_s=8.0, first_image_s=15.0)
    events = []
    while found := state.buffer.next_after(len(events)):
        events.append(found[1])
    assert [event.seconds for event in events if isinstance(event, Result)] == [
        {"text": 2.0, "prior": 1.5, "total": 7.0},
        {"text": 2.0, "prior": 1.5, "total": 13.0},
    ]
    assert events[-1] == Done(13.0)


def test_a_request_goes_on_without_failed_images_and_ends_with_the_first_error():
    state, (first, second, third) = started(images=3)
    with state.changed:
        state.add_step(second, UserError("second"), 1.0, 1011.0)
        state.report_step(second, second.state, 1011.0, lambda: 1.0)  # has nothing to tell
        assert state.buffer.latest is None
        state.add_picture(first, UserError("first"), 1.0, 1012.0, lambda: 0.0)
        assert not state.over
        assert state.unfinished == 1
        state.add_step(third, UserError("third"), 1.0, 1013.0)
    assert state.over
    assert str(state.buffer.error) == "second"
    assert state.advanced_at == 1013.0
    assert state.outcome.first_image_s is None


def test_an_image_that_succeeds_alone_shares_steps_again():
    state, (image, _) = started(images=2)
    with state.changed:
        state.fail_alone(image, UserError("no"), 1011.0)
        state.add_step(image, image.state, 1.0, 1012.0)
    assert [item.max_batch_size for item in state.work_items(lambda image: 8)] == [8, 8]


def test_a_live_picture_has_no_previews():
    lock = threading.RLock()
    for live, due in ((True, float("inf")), (False, float("-inf"))):
        state = RequestState(make_request(), "ann", 1, threading.Condition(lock), live=live)
        with state.changed:
            state.start(FakeCascade().begin(state.request), 2.0, 10.0)
        (item,) = state.work_items(lambda image: 8)
        assert (item.live, item.session, item.image.preview_due_at) == (live, "ann", due)


def test_a_request_that_is_over_does_not_start():
    state = request_state()
    with state.changed:
        state.fail(Cancelled("no"), 1001.0)
        state.start(FakeCascade().begin(state.request), 2.0, 1010.0)
    assert state.images == []
    assert state.started_at is None


def test_a_request_alone_on_the_device_is_not_slowed_down():
    state = RequestState(make_request(), "ann", 1, threading.Condition())
    assert (state.slowdown, state.advanced_at, state.live, state.address) == (1.0, 0.0, False, "")
