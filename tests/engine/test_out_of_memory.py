"""Lack of memory: smaller batches, waits, and an error at last."""

from __future__ import annotations

from threading import Event

import pytest

from tests.engine.clients import DRIVERS, ends, finish, make_request, results
from tests.fakes.cascade import FakeCascade
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.out_of_memory import BATCHES_UNTIL_REGROWTH
from wuerst_demo.engine.request_state import MAX_MEMORY_WAITS
from wuerst_demo.errors import OutOfMemory


@pytest.mark.parametrize("driver", DRIVERS)
def test_lack_of_memory_halves_the_batch_and_the_size_is_remembered(driver):
    cascade = FakeCascade(fault=lambda states: MemoryError() if len(states) > 2 else None)
    engine = Engine(cascade, max_batch_size=8)
    if driver == "worker":
        engine.start()
    events, _ = ends(engine.run(make_request(images=8, prior_steps=3)))
    assert [result.index for result in results(events)] == list(range(8))
    sizes = [len(step) for step in cascade.steps]
    assert sizes[:3] == [8, 4, 2]
    assert max(sizes[3:]) == 2
    steps = len(cascade.steps)
    assert len(results(engine.run(make_request(images=4)))) == 4
    assert max(len(step) for step in cascade.steps[steps:]) == 2
    engine.close()


def test_a_reduced_batch_size_grows_again_after_many_good_steps():
    full = Event()
    full.set()
    cascade = FakeCascade(fault=lambda states: MemoryError() if full.is_set() and len(states) > 4 else None)
    engine = Engine(cascade, max_batch_size=8)
    list(engine.run(make_request(images=8, prior_steps=3)))
    assert len(cascade.steps[0]) == 8 > len(cascade.steps[1])
    full.clear()
    for _ in range(BATCHES_UNTIL_REGROWTH // 50):
        list(engine.run(make_request(images=8, prior_steps=50, decoder_steps=50)))
    steps = len(cascade.steps)
    list(engine.run(make_request(images=8)))
    assert {len(step) for step in cascade.steps[steps:]} == {8}


@pytest.mark.parametrize(("successes", "sizes"), [(BATCHES_UNTIL_REGROWTH - 1, [4, 4]), (BATCHES_UNTIL_REGROWTH, [8])])
def test_twice_the_batch_size_is_tried_after_a_fixed_number_of_batches(successes, sizes):
    cascade = FakeCascade(failures={0: MemoryError()})
    engine = Engine(cascade, max_batch_size=8)
    list(engine.run(make_request(images=8, prior_steps=1)))  # 8 images fail, then two batches of 4
    for steps in (100, successes - 102):
        list(engine.run(make_request(images=4, prior_steps=steps)))
    steps = len(cascade.steps)
    list(engine.run(make_request(images=8, prior_steps=1)))
    assert [len(step) for step in cascade.steps[steps:] if step[0][1] == "prior"] == sizes


def test_a_batch_size_that_was_halved_twice_doubles_once_at_a_time():
    cascade = FakeCascade(failures={0: MemoryError(), 1: MemoryError()})
    engine = Engine(cascade, max_batch_size=8)
    list(engine.run(make_request(images=8, prior_steps=1)))  # then four batches of 2
    for steps in (100, BATCHES_UNTIL_REGROWTH - 104):
        list(engine.run(make_request(images=2, prior_steps=steps)))
    steps = len(cascade.steps)
    list(engine.run(make_request(images=8, prior_steps=1)))
    assert [len(step) for step in cascade.steps[steps:] if step[0][1] == "prior"] == [4, 4]


def test_cached_memory_is_freed_before_each_retry():
    cascade = FakeCascade(fault=lambda states: MemoryError() if len(states) > 2 else None)
    list(Engine(cascade, max_batch_size=8).run(make_request(images=8)))
    failed = [step for step in cascade.steps if len(step) > 2]
    assert len(failed) >= 2
    assert cascade.emptied == len(failed)


def test_an_image_that_does_not_fit_alone_ends_only_its_request():
    cascade = FakeCascade(fault=lambda states: MemoryError() if states[0].request.width > 512 else None)
    engine = Engine(cascade)
    large, small = engine.submit(make_request(width=640), "ann"), engine.submit(make_request(width=512), "ben")
    finish(engine)
    with pytest.raises(OutOfMemory, match="640 x 1024; choose a smaller size"):
        list(large)
    assert len(results(small)) == 1


def test_a_request_without_memory_waits_until_another_one_has_ended():
    small, failed = [], []

    def fault(states):
        if states[0].request.width <= 512 or small[0].over:
            return None
        failed.append(len(states))
        return MemoryError()

    engine = Engine(FakeCascade(fault=fault))
    small.append(engine.submit(make_request(width=512, seed=7, decoder_steps=20), "ben"))
    large = engine.submit(make_request(width=640, seed=70, images=2), "ann")
    finish(engine)
    assert len(results(small[0])) == 1
    assert len(results(large)) == 2
    assert failed == [2, 1]  # halved, tried alone, and then not before there is memory


def test_of_two_requests_that_block_each_other_one_is_generated():
    tickets = []

    def fault(states):
        both = [ticket for ticket in tickets if not ticket.over]
        return MemoryError() if len(both) == 2 and states[0].stage == "vqgan" else None

    engine = Engine(FakeCascade(fault=fault))
    tickets += [engine.submit(make_request(width=width), str(width)) for width in (512, 640)]
    finish(engine)
    endings = [ends(ticket)[1] for ticket in tickets]
    assert endings[0] == "Done"  # it waited for the other, which had nothing left to wait for
    assert "choose a smaller size" in endings[1]


def test_waits_for_memory_that_do_not_help_are_limited():
    cascade = FakeCascade(fault=lambda states: MemoryError() if states[0].request.width > 512 else None)
    engine = Engine(cascade)
    large = engine.submit(make_request(width=640), "ann")
    others = [
        engine.submit(make_request(width=512, seed=k, prior_steps=10 * (k + 1)), f"client {k}")
        for k in range(MAX_MEMORY_WAITS + 2)
    ]
    while not large.over:
        assert engine.step()
    assert "choose a smaller size" in ends(large)[1]
    tries = [states for states in cascade.steps if states == [(7, "prior", 0)]]
    assert len(tries) == MAX_MEMORY_WAITS + 1
    finish(engine)
    assert all(len(results(other)) == 1 for other in others)


def test_waits_for_memory_that_helped_do_not_count():
    others, decoded = [], []

    def fault(states):
        if states[0].request.width <= 512 or states[0].stage != "vqgan":
            return None
        if len(decoded) >= sum(other.over for other in others):
            return MemoryError()
        decoded.append(states)
        return None

    engine = Engine(FakeCascade(fault=fault), max_images=99)
    large = engine.submit(make_request(width=640, images=6), "ann")
    others += [engine.submit(make_request(width=512, prior_steps=10 * (k + 1)), f"client {k}") for k in range(8)]
    finish(engine)
    assert len(results(large)) == 6
    assert all(len(results(other)) == 1 for other in others)
