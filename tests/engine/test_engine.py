"""Engine on the fake cascade, driven by its callers, by its worker thread, or step by step."""

from __future__ import annotations

import gc
import threading
import weakref
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.clients import (
    CORE_DRIVERS,
    DRIVERS,
    Clock,
    ends,
    finish,
    make_request,
    results,
    run_with,
    step_and_read,
    tickets_of,
)
from tests.fakes.cascade import FakeCascade, painted
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.request_queue import STOPPED_MESSAGE
from wuerst_demo.errors import Cancelled, DeviceLost, PromptError, UserError
from wuerst_demo.events import Done, Progress, Queued, Result

# --------------------------------------------------------------------------------------------------------- any driver


@pytest.mark.parametrize("driver", CORE_DRIVERS)
def test_each_result_carries_the_request_that_generates_it_alone(driver):
    request = make_request(images=3, seed=2**32 - 2)
    found = results(run_with(driver, Engine(FakeCascade()), request)[0])
    assert [result.request for result in found] == [request.image(k) for k in range(3)]
    assert [result.request.seed for result in found] == [2**32 - 2, 2**32 - 1, 0]
    for result in found:
        assert result.image.tobytes() == painted(result.request).tobytes()
        (alone,) = results(run_with(driver, Engine(FakeCascade()), result.request)[0])
        assert alone.image.tobytes() == result.image.tobytes()


@pytest.mark.parametrize("driver", CORE_DRIVERS)
def test_the_seconds_of_a_result_name_its_stages_and_sum_up_to_the_total(driver):
    events, end = run_with(driver, Engine(FakeCascade()), make_request(images=2))
    assert end == "Done"
    for result in results(events):
        assert list(result.seconds) == ["text", "prior", "decoder", "vqgan", "total"]
        stages = [seconds for name, seconds in result.seconds.items() if name != "total"]
        assert min(stages) >= 0
        assert sum(stages) <= result.seconds["total"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_total_seconds_are_counted_from_the_first_step(driver):
    clock = Clock()
    engine = Engine(FakeCascade(between=lambda: clock.advance(1)), clock=clock)
    events, _ = run_with(driver, engine, make_request(prior_steps=2, decoder_steps=1))
    (result,) = results(events)
    assert result.seconds == {"text": 0, "prior": 2, "decoder": 1, "vqgan": 0, "total": 3}
    assert events[-1] == Done(3)


@pytest.mark.parametrize("driver", CORE_DRIVERS)
def test_images_share_their_steps_as_far_as_there_is_room(driver):
    cascade = FakeCascade()
    run_with(driver, Engine(cascade, max_batch_size=2), make_request(images=5, prior_steps=3, decoder_steps=2))
    assert [len(step) for step in cascade.steps] == [2] * 5 + [2] * 5 + [1] * 5


@pytest.mark.parametrize("driver", CORE_DRIVERS)
def test_the_first_images_are_finished_before_the_rest_begin(driver):
    events, _ = run_with(driver, Engine(FakeCascade(), max_batch_size=1), make_request(images=2))
    first = next(i for i, event in enumerate(events) if isinstance(event, Result))
    assert {event.index for event in events[:first] if isinstance(event, Progress)} <= {0}


@pytest.mark.parametrize("driver", CORE_DRIVERS)
def test_a_prompt_that_cannot_be_read_fails_with_its_own_words(driver):
    class Strict(FakeCascade):
        def begin(self, request):
            raise PromptError("Close the bracket.")

    events, end = run_with(driver, Engine(Strict()), make_request())
    assert results(events) == []
    assert end == "Close the bracket."


@pytest.mark.parametrize("driver", CORE_DRIVERS)
@pytest.mark.parametrize(
    "failing", [{"failing_pictures": [8]}, {"failing_steps": [(8, "prior", 1)]}, {"failing_steps": [(8, "decoder", 0)]}]
)
def test_a_failed_image_is_reported_after_the_others_have_come(driver, failing):
    cascade = FakeCascade(**failing)
    seen, end = run_with(driver, Engine(cascade), make_request(images=3, prior_steps=4))
    assert [result.index for result in results(seen)] == [0, 2]
    assert "has failed; try another seed" in end
    assert not any(isinstance(event, Done) for event in seen)
    if "failing_steps" in failing:
        steps = [each for states in cascade.steps for each in states if each[0] == 8]
        assert steps[-1] == failing["failing_steps"][0]


@pytest.mark.parametrize("driver", DRIVERS)
def test_after_a_failed_request_the_next_one_works(driver):
    engine = Engine(FakeCascade(failures={0: MemoryError()}))
    if driver == "worker":
        engine.start()
    assert "not have enough memory" in ends(engine.run(make_request()))[1]
    assert len(results(ends(engine.run(make_request()))[0])) == 1
    engine.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_requests_from_many_threads_get_their_own_images(driver):
    found = {}

    def generate(seed):
        found[seed] = list(engine.run(make_request(seed=seed, images=2), f"client {seed}"))

    engine = Engine(FakeCascade(), max_images=1000)
    if driver == "worker":
        engine.start()
    threads = [threading.Thread(target=generate, args=(seed,)) for seed in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.alive is (driver == "worker")
    engine.close()
    assert len(found) == 24
    for seed, events in found.items():
        assert isinstance(events[-1], Done)
        for result in results(events):
            assert result.image.tobytes() == painted(make_request(seed=seed).image(result.index)).tobytes()


# ------------------------------------------------------------------------------------------------- driven by callers


def test_a_caller_gets_progress_for_every_step_and_done_at_the_end():
    events = list(Engine(FakeCascade()).run(make_request(prior_steps=3, decoder_steps=2)))
    progress = [(event.stage, event.step, event.total_steps) for event in events if isinstance(event, Progress)]
    assert progress == [("prior", n, 3) for n in (1, 2, 3)] + [("decoder", n, 2) for n in (1, 2)] + [("vqgan", 1, 1)]
    assert [type(event) for event in events[-2:]] == [Result, Done]
    assert len(events) == len(progress) + 2


def test_a_closed_run_takes_no_further_step_and_leaves_nothing():
    cascade = FakeCascade()
    engine = Engine(cascade, grace_s=30)
    run = engine.run(make_request(images=4))
    next(run)
    run.close()
    assert not engine.step()
    assert len(cascade.steps) == 1
    assert engine.request_count == 0


def test_a_run_that_is_not_read_on_keeps_no_other_waiting():
    engine = Engine(FakeCascade())
    idle = engine.run(make_request())
    next(idle)
    assert len(results(engine.run(make_request(seed=8)))) == 1
    assert len(results(idle)) == 1


def test_callers_in_several_threads_take_turns_step_by_step():
    together = threading.Barrier(2)
    cascade = FakeCascade()
    engine = Engine(cascade)
    inside = threading.Semaphore(1)

    def between():
        assert inside.acquire(blocking=False), "two steps at once"
        threading.Event().wait(0.001)  # long enough for the other thread to arrive
        inside.release()

    cascade.between = between
    found = {}

    def generate(seed):
        run = engine.run(make_request(seed=seed, prior_steps=20, decoder_steps=20))
        next(run)
        together.wait()
        found[seed] = results(run)

    threads = [threading.Thread(target=generate, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[seed][0].image.tobytes() == painted(make_request(seed=seed)).tobytes() for seed in (1, 2))
    seeds = [step[0][0] for step in cascade.steps]
    assert sum(a != b for a, b in pairwise(seeds)) > 20


def test_callers_are_not_limited():
    engine = Engine(FakeCascade(), max_images=1, max_session_images=1)
    runs = [engine.run(make_request(images=2), "ann") for _ in range(3)]
    assert [isinstance(next(run), Progress) for run in runs] == [True] * 3
    assert [len(results(run)) for run in runs] == [2] * 3


def test_a_lost_device_is_one_line_for_its_caller():
    with pytest.raises(UserError, match="device has failed; restart") as caught:
        list(Engine(FakeCascade(failures={1: DeviceLost("an illegal memory access")})).run(make_request()))
    assert "illegal" in str(caught.value.__cause__)


def test_an_unexpected_error_is_raised_to_its_caller():
    engine = Engine(FakeCascade(failures={0: RuntimeError("a fault of ours")}))
    with pytest.raises(RuntimeError, match="a fault of ours"):
        list(engine.run(make_request()))
    assert engine.request_count == 0
    assert len(results(engine.run(make_request()))) == 1


def test_a_user_error_reaches_its_caller_unchanged():
    error = PromptError("This prompt cannot be read; close the bracket.")
    with pytest.raises(PromptError) as caught:
        list(Engine(FakeCascade(failures={0: error})).run(make_request()))
    assert caught.value is error


def test_lack_of_memory_is_one_line_that_holds_no_tensors():
    with pytest.raises(UserError, match=r"memory.*fewer pictures or a smaller size") as caught:
        list(Engine(FakeCascade(fault=lambda states: MemoryError())).run(make_request(images=2)))
    assert caught.value.__context__ is None


def test_no_caller_waits_for_the_memory_of_another():
    engine = Engine(FakeCascade(fault=lambda states: MemoryError() if states[0].request.width > 512 else None))
    small = engine.run(make_request(width=512))
    next(small)
    assert "640 x 1024; choose a smaller size" in ends(engine.run(make_request(width=640)))[1]
    assert len(results(small)) == 1


# ---------------------------------------------------------------------------------------------------------- by steps


def test_stepped_requests_give_what_a_caller_gets_after_their_place():
    request = make_request(images=2)

    def summary(events):
        return [
            (type(event), event.index, getattr(event, "stage", None), getattr(event, "step", None))
            for event in events
            if isinstance(event, Progress | Result)
        ]

    events = step_and_read(Engine(FakeCascade()), request)
    assert events[0] == Queued(1, None)
    assert summary(events) == summary(Engine(FakeCascade()).run(request))
    assert isinstance(events[-1], Done)


def test_images_can_be_read_before_the_request_ends():
    engine = Engine(FakeCascade(), max_batch_size=1)
    ticket = engine.submit(make_request(images=3), "ann")
    for _ in range(1 + 2 + 1 + 1):  # the text, the steps of one image, its decoding
        engine.step()
    assert [result.index for result in results([next(ticket), next(ticket)])] == [0]
    assert not ticket.over


def test_images_of_several_clients_share_their_steps():
    cascade = FakeCascade()
    engine = Engine(cascade)
    tickets = [engine.submit(make_request(seed=seed), f"client {seed}") for seed in range(4)]
    finish(engine)
    assert {len(step) for step in cascade.steps} == {4}
    assert all(isinstance(list(ticket)[-1], Done) for ticket in tickets)


def test_one_image_does_not_wait_for_eight_of_another_client():
    engine = Engine(FakeCascade(), max_batch_size=1, max_images=20, max_session_images=20)
    many = engine.submit(make_request(images=8, seed=100), "ann")
    one = engine.submit(make_request(seed=1), "ben")
    steps = 0
    while not one.over:
        engine.step()
        steps += 1
    assert steps <= 2 * (1 + 2 + 1 + 1)  # two clients: every second step
    finish(engine)
    assert len(results(many)) == 8


def test_a_cancelled_request_takes_no_further_step_and_others_go_on():
    cascade = FakeCascade()
    engine = Engine(cascade)
    stopped, other = engine.submit(make_request(seed=1), "ann"), engine.submit(make_request(seed=2), "ben")
    for _ in range(3):
        engine.step()
    stopped.cancel()
    steps = len(cascade.steps)
    finish(engine)
    assert all(seed == 2 for step in cascade.steps[steps:] for seed, *_ in step)
    with pytest.raises(Cancelled):
        list(stopped)
    assert len(results(other)) == 1
    stopped.cancel()
    other.cancel()
    assert list(other) == []  # ended before, and read to its end


def test_a_cancel_during_a_step_takes_effect_at_its_end():
    cascade = FakeCascade()
    engine = Engine(cascade)
    ticket = engine.submit(make_request(), "ann")
    cascade.between = ticket.cancel
    finish(engine)
    assert len(cascade.steps) == 1
    with pytest.raises(Cancelled):
        list(ticket)


def test_the_image_states_of_a_cancelled_request_are_released():
    class Remembering(FakeCascade):
        def step(self, states):
            moved = super().step(states)
            references.extend(map(weakref.ref, moved))
            return moved

    references = []
    engine = Engine(Remembering())
    ticket = engine.submit(make_request(images=2), "ann")
    engine.step()
    engine.step()
    assert len(references) == 2
    assert all(reference() for reference in references)
    ticket.cancel()
    engine.step()
    assert not any(reference() for reference in references)


def test_without_a_grace_time_a_request_ends_with_its_reader():
    cascade = FakeCascade()
    engine = Engine(cascade)
    ticket = engine.submit(make_request(), "ann")
    engine.step()
    engine.step()
    ticket.close()
    finish(engine)
    assert len(cascade.steps) == 1


def test_a_lost_ticket_stops_its_request():
    engine = Engine(FakeCascade())
    engine.submit(make_request(), "ann")
    gc.collect()
    assert not engine.step()
    assert engine.request_count == 0


def test_attaching_again_gives_the_newest_and_everything_finished():
    engine = Engine(FakeCascade(), max_batch_size=1, grace_s=30)
    ticket = engine.submit(make_request(images=2, prior_steps=4), "ann")
    ticket.close()
    for _ in range(1 + 4 + 1 + 1 + 3):
        engine.step()
    again = engine.attach(ticket.id, "ann")
    progress, result, newest = next(again), next(again), next(again)
    assert (progress.stage, result.index) == ("vqgan", 0)
    assert (newest.index, newest.stage, newest.step, newest.total_steps) == (1, "prior", 3, 4)


def test_no_other_session_can_attach_or_cancel():
    engine = Engine(FakeCascade(), grace_s=30)
    ticket = engine.submit(make_request(), "ann")
    ticket.close()
    for id, session in ((ticket.id, "ben"), (ticket.id, ""), ("", "ann"), (None, "ann"), ([], "ann")):
        with pytest.raises(UserError, match="does not exist any more"):
            engine.attach(id, session)
        engine.cancel(id, session)
    again = engine.attach(ticket.id, "ann")
    engine.cancel(ticket.id, "ann")
    with pytest.raises(Cancelled):
        list(again)


def test_a_second_reader_is_rejected_and_the_first_reads_on():
    engine = Engine(FakeCascade(), grace_s=30)
    ticket = engine.submit(make_request(), "ann")
    with pytest.raises(UserError, match="open in another page"):
        engine.attach(ticket.id, "ann")
    finish(engine)
    assert len(results(ticket)) == 1


def test_ids_are_long_and_unique():
    engine = Engine(FakeCascade())
    ids = {engine.submit(make_request(), f"client {k}").id for k in range(50)}
    assert len(ids) == 50
    assert min(map(len, ids)) >= 20


def test_an_estimate_comes_from_measurements_and_from_the_queue():
    clock = Clock()
    engine = Engine(FakeCascade(between=lambda: clock.advance(0.5)), clock=clock)
    request = make_request(prior_steps=10, decoder_steps=4)
    assert engine.estimate(request) is None
    list(engine.run(request))
    assert engine.estimate(request) == pytest.approx(7)
    assert engine.estimate(make_request(width=256)) is None
    ticket = engine.submit(make_request(prior_steps=4, decoder_steps=2), "ben")
    assert engine.estimate(request) == pytest.approx(7 + 3)
    ticket.close()


# --------------------------------------------------------------------------------------------------- in any company


@st.composite
def visits(draw):
    """(session, request, step of arrival, step of the cancel or None)"""
    request = make_request(
        prompt=draw(st.sampled_from(["a cat", "a dog", "a very long prompt about a cat and a dog"])),
        seed=draw(st.integers(0, 2**32 - 1)),
        images=draw(st.integers(1, 5)),
        width=draw(st.sampled_from([128, 256])),
        height=128,
        prior_steps=draw(st.integers(1, 4)),
        decoder_steps=draw(st.integers(1, 3)),
        prior_guidance=draw(st.sampled_from([0.0, 4.0])),
        decoder_guidance=draw(st.sampled_from([0.0, 2.0])),
    )
    cancel = draw(st.none() | st.integers(0, 40))
    return draw(st.sampled_from(["ann", "ben", "cid", "dan"])), request, draw(st.integers(0, 30)), cancel


@settings(max_examples=100)
@given(st.lists(visits(), min_size=1, max_size=8), st.integers(1, 6))
def test_every_image_reaches_its_client_and_is_the_same_as_alone(crowd, max_batch_size):
    engine = Engine(FakeCascade(), max_batch_size, max_images=1000, max_session_images=1000)
    for k, ticket in tickets_of(engine, crowd, steps=42).items():
        request = crowd[k][1]
        events, end = ends(ticket)
        found = results(events)
        assert end in ("Done", STOPPED_MESSAGE)
        assert len({result.index for result in found}) == len(found)
        assert len(found) == request.images or end == STOPPED_MESSAGE
        alone = {result.index: result for result in results(Engine(FakeCascade()).run(request))}
        for result in found:
            assert result.request == request.image(result.index)
            assert result.image.tobytes() == alone[result.index].image.tobytes()
    assert engine.request_count == 0


# ------------------------------------------------------------------------------------------- many requests of a caller


def test_many_requests_of_a_caller_share_batches_and_keep_their_order():
    cascade = FakeCascade()
    requests = [make_request(seed=100 * k) for k in range(20)]
    events = list(Engine(cascade).run_all(iter(requests)))
    assert [number for number, event in events if isinstance(event, Done)] == list(range(20))
    assert [number for number, _ in events] == sorted(number for number, _ in events)
    assert [event.request for _, event in events if isinstance(event, Result)] == requests
    assert [len(batch) for batch in cascade.steps] == [8] * 6 + [4] * 3


def test_requests_are_taken_as_there_is_room_for_them():
    taken = []

    def endless():
        while True:
            taken.append(make_request(seed=len(taken)))
            yield taken[-1]

    engine = Engine(FakeCascade(), max_batch_size=2)
    events = engine.run_all(endless())
    next(events)
    assert len(taken) == 4
    events.close()
    assert (engine.request_count, engine.stage_counts.total()) == (0, 0)


def test_one_of_many_requests_fails_alone():
    outcomes = list(Engine(FakeCascade(failing_pictures=[1])).run_all([make_request(seed=k) for k in range(3)]))
    last = [[event for number, event in outcomes if number == k][-1] for k in range(3)]
    assert [type(event) for event in last] == [Done, UserError, Done]


def test_a_bug_ends_many_requests_with_its_own_error():
    engine = Engine(FakeCascade(failures={0: ZeroDivisionError()}))
    with pytest.raises(ZeroDivisionError):
        list(engine.run_all([make_request(), make_request()]))
    assert engine.stage_counts.total() == 0
