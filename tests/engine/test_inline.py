"""The engine that runs in the caller's thread, on the fake cascade: order of events, turns, stopping, failures."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest

from tests.fakes import FakeCascade, painted
from wuerst_demo.engine.inline import Inline
from wuerst_demo.errors import DeviceLost, PromptError, UserError
from wuerst_demo.events import Done, Progress, Result
from wuerst_demo.request import Limits


def request(**values):
    return Limits().request({"prompt": "a red cat", "seed": 7, "prior_steps": 3, "decoder_steps": 2, **values})


def results(events):
    return [event for event in events if isinstance(event, Result)]


def test_one_picture_comes_with_progress_for_every_step_and_ends_in_done():
    events = list(Inline(FakeCascade()).run(request()))
    progress = [(event.stage, event.step, event.of) for event in events if isinstance(event, Progress)]
    assert progress == [("prior", n, 3) for n in (1, 2, 3)] + [("decoder", n, 2) for n in (1, 2)] + [("vqgan", 1, 1)]
    assert isinstance(events[-2], Result)
    assert isinstance(events[-1], Done)


def test_each_result_carries_the_request_that_draws_it_alone():
    wish = request(images=3, seed=2**32 - 2)
    found = results(Inline(FakeCascade()).run(wish))
    assert [result.request for result in found] == [wish.image(k) for k in range(3)]
    assert [result.request.seed for result in found] == [2**32 - 2, 2**32 - 1, 0]
    for result in found:
        assert result.picture.tobytes() == painted(result.request).tobytes()
        (alone,) = results(Inline(FakeCascade()).run(result.request))
        assert alone.picture.tobytes() == result.picture.tobytes()


def test_the_seconds_of_a_result_name_its_stages_and_their_sum_is_no_more_than_the_total():
    for result in results(Inline(FakeCascade()).run(request(images=2))):
        assert list(result.seconds) == ["text", "prior", "decoder", "vqgan", "total"]
        stages = [seconds for name, seconds in result.seconds.items() if name != "total"]
        assert min(stages) >= 0
        assert sum(stages) <= result.seconds["total"]


def test_images_share_their_steps_as_far_as_there_is_room():
    cascade = FakeCascade()
    list(Inline(cascade, rows_at_once=2).run(request(images=5)))
    assert [len(step) for step in cascade.steps] == [2] * 5 + [2] * 5 + [1] * 5


def test_the_first_pictures_are_there_before_the_rest_begin():
    events = list(Inline(FakeCascade(), rows_at_once=1).run(request(images=2)))
    first_result = next(i for i, event in enumerate(events) if isinstance(event, Result))
    assert {event.image for event in events[:first_result]} == {0}


def test_a_closed_run_takes_no_further_step():
    cascade = FakeCascade()
    run = Inline(cascade).run(request(images=4))
    next(run)
    run.close()
    assert len(cascade.steps) == 1


def test_a_run_that_is_left_lying_keeps_nobody_waiting():
    engine = Inline(FakeCascade())
    left = engine.run(request())
    next(left)
    assert len(results(engine.run(request(seed=8)))) == 1
    assert len(results(left)) == 1


def test_runs_in_several_threads_take_turns_step_by_step():
    together = threading.Barrier(2)
    cascade = FakeCascade()
    engine = Inline(cascade)
    inside = threading.Semaphore(1)

    def between():
        assert inside.acquire(blocking=False), "two steps at once"
        time.sleep(0.001)  # long enough for the other thread to come and stand in line
        inside.release()

    cascade.between = between
    found = {}

    def draw(seed):
        run = engine.run(request(seed=seed, prior_steps=20, decoder_steps=20))
        next(run)
        together.wait()
        found[seed] = results(run)

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[seed][0].picture.tobytes() == painted(request(seed=seed)).tobytes() for seed in (1, 2))
    seeds = [step[0][0] for step in cascade.steps]
    assert sum(a != b for a, b in pairwise(seeds)) > 20


def test_too_little_memory_is_said_with_what_to_do():
    with pytest.raises(UserError, match=r"memory.*fewer pictures or a smaller size") as caught:
        list(Inline(FakeCascade(fault=lambda rows: MemoryError())).run(request(images=2)))
    assert caught.value.__context__ is None  # nothing keeps the failed step's tensors


def test_memory_that_runs_out_halves_the_batch_for_the_rest_of_the_request():
    cascade = FakeCascade(fault=lambda rows: MemoryError() if len(rows) > 2 else None)
    events = list(Inline(cascade, rows_at_once=8).run(request(images=8, prior_steps=3)))
    assert [event.image for event in events if isinstance(event, Result)] == list(range(8))
    sizes = [len(step) for step in cascade.steps if step[0][1] == "prior"]
    assert sizes[:3] == [8, 4, 2]
    assert max(sizes[3:]) == 2
    assert cascade.relieved >= 2


def test_a_device_that_fails_is_said_in_one_line():
    with pytest.raises(UserError, match="device has failed; start") as caught:
        list(Inline(FakeCascade(failures={1: DeviceLost("an illegal memory access")})).run(request()))
    assert "illegal" in str(caught.value.__cause__)


def test_after_a_failed_request_the_next_one_works():
    engine = Inline(FakeCascade(failures={0: MemoryError(), 1: RuntimeError("a fault of ours")}))
    with pytest.raises(UserError):
        list(engine.run(request()))
    with pytest.raises(RuntimeError, match="a fault of ours"):
        list(engine.run(request()))
    assert len(results(engine.run(request()))) == 1


def test_an_error_with_its_own_words_passes_unchanged():
    error = PromptError("This prompt cannot be read; close the bracket.")
    with pytest.raises(PromptError) as caught:
        list(Inline(FakeCascade(failures={0: error})).run(request()))
    assert caught.value is error


def test_one_spoilt_picture_is_said_after_the_others_have_come():
    seen = []
    with pytest.raises(UserError, match="spoilt"):
        seen.extend(event for event in Inline(FakeCascade(spoilt=[8])).run(request(images=3)))
    assert [result.image for result in results(seen)] == [0, 2]
    assert not any(isinstance(event, Done) for event in seen)
