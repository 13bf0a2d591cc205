"""Estimates of the engine from measured steps: medians, remaining times, places in the queue."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.engine.clients import DRIVERS, Clock, ends, finish, make_request, newest, step_and_read
from tests.fakes.cascade import FakeCascade, FakeImageState
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.timing import MAX_TIMING_KEYS, MEDIAN_WINDOW, TimingStats, sample_count
from wuerst_demo.events import Progress, Queued


def state_of(request, stage, step=0):
    return FakeImageState(0, request, stage, step, 10)


def samples_at_first(stage, request):
    return 1 if stage == "text" else sample_count(state_of(request, stage))


def progress(events):
    return [event for event in events if isinstance(event, Progress)]


@pytest.mark.parametrize("stage", ["prior", "decoder"])
def test_a_guided_image_counts_as_two_samples_in_its_own_network(stage):
    for guidance, samples in ((0.0, 1), (1.0, 1), (1.01, 2), (4.0, 2)):
        request = make_request(**{"prior_guidance": 0.0, "decoder_guidance": 0.0, f"{stage}_guidance": guidance})
        assert sample_count(state_of(request, stage)) == samples
        others = {"prior", "decoder", "vqgan"} - {stage}
        assert {sample_count(state_of(request, other)) for other in others} == {1}


def test_an_image_counts_as_two_samples_only_inside_its_interval_of_guidance():
    request = make_request(prior_steps=4, prior_schedule="linear", guidance_from=0.25, guidance_to=0.75)
    assert [sample_count(state_of(request, "prior", step)) for step in range(4)] == [1, 2, 2, 1]


def test_guided_and_unguided_decoder_steps_are_measured_apart():
    timing = TimingStats(8)
    timing.record("prior", make_request(), 1, 0.0)
    timing.record("vqgan", make_request(), 1, 0.0)
    timing.record("text", make_request(), 1, 0.0)
    for samples, seconds in ((2, 3.0), (1, 2.0)):
        timing.record("decoder", make_request(), samples, seconds)
    settings = {"decoder_steps": 10, "decoder_guidance": 4.0}
    guided, plain = make_request(**settings), make_request(**settings | {"decoder_guidance": 0.0})
    partly = make_request(**settings, guidance_from=0.2, guidance_to=0.5)
    assert [timing.request_s(request) for request in (guided, plain, partly)] == [30, 20, 23]
    half_way = [state_of(partly, "decoder", 4)]
    assert timing.images_s(half_way, partly) == 3 + 5 * 2


def test_a_batch_size_that_was_not_measured_is_estimated_from_those_that_were():
    timing = TimingStats(8)
    request = make_request()
    assert timing.batch_s("prior", request, 4) is None
    timing.record("prior", request, 2, 1.0)
    timing.record("prior", request, 8, 5.0)
    assert [timing.batch_s("prior", request, samples) for samples in (1, 2, 5, 8, 16)] == [1, 1, 3, 5, 10]


def test_a_time_is_the_median_of_the_last_measurements():
    timing = TimingStats(8)
    request = make_request()
    for seconds in [*[100.0] * MEDIAN_WINDOW, *[1.0] * (MEDIAN_WINDOW - 1), 90.0]:
        timing.record("prior", request, 1, seconds)
    assert timing.batch_s("prior", request, 1) == 1
    assert timing.step_s == 1


def test_the_oldest_kind_of_work_is_forgotten():
    timing = TimingStats(8)
    requests = [make_request(width=128 * (1 + k % 8), height=128 * (1 + k // 8 % 8)) for k in range(64)]
    stages = [f"stage {k}" for k in range(MAX_TIMING_KEYS // 64 + 1)]
    for stage in stages:
        for request in requests:
            timing.record(stage, request, 1, 1.0)
    assert timing.batch_s(stages[0], requests[-1], 1) is None
    assert timing.batch_s(stages[1], requests[0], 1) == 1


def test_without_a_time_for_the_prompt_nothing_is_estimated():
    timing = TimingStats(8)
    request = make_request()
    for stage in ("prior", "decoder", "vqgan"):
        timing.record(stage, request, samples_at_first(stage, request), 1.0)
    images = FakeCascade().begin(request)
    assert timing.images_s(images, request) == 4
    assert timing.request_s(request) is None
    assert timing.remaining_s(images, request, elapsed_s=1.0, slowdown=1.0) is None
    assert timing.completion_s(request, []) is None


def test_the_wait_in_the_queue_is_rounded_to_a_tenth_of_a_second():
    clock = Clock()
    engine = Engine(FakeCascade(between=lambda: clock.advance(0.1234)), clock=clock)
    for _ in range(3):
        list(engine.run(make_request(prior_steps=40)))
    tickets = [engine.submit(make_request(), session) for session in ("ann", "ben", "cid")]
    assert [next(ticket) for ticket in tickets] == [Queued(1, 0.0), Queued(2, 0.1), Queued(3, 0.2)]


def test_work_that_takes_no_time_has_no_time_left():
    timing = TimingStats(8)
    request = make_request()
    for stage in ("text", "prior", "decoder", "vqgan"):
        timing.record(stage, request, samples_at_first(stage, request), 0.0)
    assert timing.request_s(request) == 0
    assert timing.remaining_s(FakeCascade().begin(request), request, elapsed_s=5.0, slowdown=1.0) == 0


def test_at_its_start_a_request_takes_its_time_alone_by_the_slowdown():
    timing = TimingStats(8)
    request = make_request(prior_steps=7, decoder_steps=2)
    for stage in ("text", "prior", "decoder", "vqgan"):
        timing.record(stage, request, samples_at_first(stage, request), 1.0)
    images = FakeCascade().begin(request)
    assert timing.request_s(request) == 11
    assert timing.images_s(images, request) == 10
    assert timing.remaining_s(images, request, elapsed_s=0.0, slowdown=1.0) == 10
    assert timing.remaining_s(images, request, elapsed_s=1.0, slowdown=3.0) == pytest.approx(10 * (1 + 3.3) / (1 + 1.1))


def test_beside_others_each_session_gets_as_many_seconds_or_what_it_still_needs():
    timing = TimingStats(8)
    request, unknown = make_request(), make_request(width=384)
    for stage in ("text", "prior", "decoder", "vqgan"):
        timing.record(stage, request, samples_at_first(stage, request), 1.0)

    def state(session, request=request, left=None):
        return SimpleNamespace(session=session, request=request, started_at=left and 1.0, images=left)

    states = [
        state("ben"),
        state("cid", unknown),  # as long as this one, for all that is known
        state("dan", left=[state_of(request, "vqgan")]),
        state("eve"),
        state("eve"),
    ]
    assert timing.request_s(request) == 5
    assert timing.completion_s(request, states) == 5 + 5 + 5 + 1 + 5
    assert timing.slowdown(request, states) == 21 / 5
    assert timing.completion_s(unknown, states) is None
    assert timing.slowdown(unknown, states) == 1


def test_waiting_clients_get_their_place_and_its_time():
    clock = Clock()
    engine = Engine(FakeCascade(between=lambda: clock.advance(2)), clock=clock)
    engine.submit(make_request(), "before").close()
    first = engine.submit(make_request(), "ann")
    second = engine.submit(make_request(), "ben")
    third = engine.submit(make_request(), "ben")
    assert [next(ticket) for ticket in (first, second, third)] == [Queued(1), Queued(2), Queued(4)]
    finish(engine)
    waiting = [engine.submit(make_request(), name) for name in ("ann", "ben")]
    assert [next(ticket).position for ticket in waiting] == [1, 2]
    assert next(engine.submit(make_request(), "cid")).wait_s is not None


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_remaining_time_is_unknown_at_first_and_then_falls_to_0(driver):
    engine = Engine(FakeCascade())
    if driver == "worker":
        engine.start()
    first, _ = ends(engine.run(make_request()))
    assert {event.remaining_s for event in progress(first) if event.stage == "prior"} <= {None}
    second, _ = ends(engine.run(make_request(prior_steps=9)))
    rests = [event.remaining_s for event in progress(second)]
    assert None not in rests
    assert rests[-1] == 0
    engine.close()


def test_the_remaining_time_is_what_is_left_at_the_measured_speed():
    clock = Clock()
    engine = Engine(FakeCascade(between=lambda: clock.advance(2)), clock=clock)
    request = make_request(prior_steps=3, decoder_steps=2)
    step_and_read(engine, request)
    for events in (step_and_read(engine, request), list(engine.run(request))):
        assert [event.remaining_s for event in progress(events)] == pytest.approx([8, 6, 4, 2, 0, 0])


def test_in_company_the_remaining_time_is_longer_as_the_request_is():
    """Three clients whose sizes differ share no step: everything takes three times as long."""
    clock = Clock()
    engine = Engine(FakeCascade(between=lambda: clock.advance(2)), clock=clock)
    for width in (128, 256, 384):
        list(engine.run(make_request(width=width)))
    requests = [make_request(width=width, prior_steps=10, decoder_steps=10) for width in (128, 256, 384)]
    tickets = [engine.submit(request, f"client {request.width}") for request in requests]
    start, rests = clock.now, []
    while engine.step():
        if not tickets[0].over:
            rests += [(clock.now, event.remaining_s) for event in progress([newest(tickets[0])])]
    end = max(when for when, rest in rests if rest)
    assert end - start > 2.5 * 40
    for when, rest in rests[len(rests) // 3 :]:
        assert rest == pytest.approx(end - when, abs=25)


def test_the_medians_of_all_steps_are_plain_numbers_by_stage_size_and_samples():
    stats = TimingStats(8)
    for seconds in (1.0, 9.0, 2.0):
        stats.record("prior", make_request(width=512), 2, seconds)
    stats.record("text", make_request(width=512), 1, 0.5)
    assert stats.medians() == {("prior", 512, 1024): {2: 2.0}, ("text", 0, 0): {1: 0.5}}
