"""Previews of images in progress, within their budget."""

from __future__ import annotations

import logging

import pytest

from tests.engine.clients import CORE_DRIVERS, Clock, finish, make_request, results, run_with, step_and_read
from tests.fakes.cascade import FakeCascade
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.preview_budget import (
    MAX_PREVIEW_ADVANCE_S,
    MAX_PREVIEW_TIME_SHARE,
    MAX_PREVIEWS_PER_S,
    PreviewBudget,
    preview_interval_s,
)
from wuerst_demo.errors import DeviceLost
from wuerst_demo.events import Progress


class Slow(FakeCascade):
    """Previews that take `cost_s` each, noted with their time."""

    def __init__(self, clock, cost_s, **values):
        super().__init__(**values)
        self.clock, self.cost_s, self.made = clock, cost_s, []

    def render_previews(self, states):
        self.made += [(self.clock.now, state.request.seed) for state in states]
        self.clock.advance(self.cost_s * len(states))
        return super().render_previews(states)


def progress(events):
    return [event for event in events if isinstance(event, Progress)]


@pytest.mark.parametrize("driver", CORE_DRIVERS)
def test_progress_carries_the_newest_preview_of_its_own_image(driver):
    request = make_request(images=2, prior_steps=3)
    for event in progress(run_with(driver, Engine(FakeCascade()), request)[0]):
        assert event.preview.startswith(b"%d " % (request.seed + event.index))


@pytest.mark.parametrize("images", range(1, 9))
def test_no_request_has_more_previews_a_second_than_allowed(images):
    clock = Clock()
    cascade = Slow(clock, 0.0, between=lambda: clock.advance(0.013))
    engine = Engine(cascade, clock=clock)
    ticket = engine.submit(make_request(images=images, prior_steps=100, decoder_steps=100), "ann")
    finish(engine)
    times = [when for when, _ in cascade.made]
    assert len(times) > 10
    assert max(sum(start <= when < start + 1 for when in times) for start in times) <= MAX_PREVIEWS_PER_S
    assert {seed for _, seed in cascade.made} == {7 + k for k in range(images)}
    assert len(results(ticket)) == images


@pytest.mark.parametrize("cost", [0.0005, 0.004, 0.3])
def test_previews_take_no_more_than_their_share_of_the_time(cost):
    clock = Clock()
    cascade = Slow(clock, cost, between=lambda: clock.advance(0.05))
    engine = Engine(cascade, max_batch_size=16, max_images=100, clock=clock)
    tickets = [
        engine.submit(make_request(seed=k, prior_steps=100, decoder_steps=100), f"client {k}") for k in range(16)
    ]
    finish(engine)
    steps, spent = 0.05 * len(cascade.steps), cost * len(cascade.made)
    # The first batch may exceed the budget: the cost of a preview is not known yet.
    assert spent <= MAX_PREVIEW_TIME_SHARE * steps + 2 * MAX_PREVIEW_ADVANCE_S + 16 * cost
    assert cascade.made
    for ticket in tickets:
        ticket.close()


def test_the_longest_overdue_previews_come_first():
    clock = Clock()
    cascade = Slow(clock, 0.0199)
    previews = PreviewBudget(cascade, clock)
    states = cascade.begin(make_request(images=4))
    assert all(previews.make_previews(states, [clock.now] * 4, 1.0))
    due_at = [clock.now - overdue_s for overdue_s in (0.01, 0.03, 0.02, -9.0)]
    shown = previews.make_previews(states, due_at, 30.0)
    assert [preview is not None for preview in shown] == [False, True, True, False]


def test_a_failing_preview_is_logged_once_and_costs_no_image(caplog):
    class Broken(FakeCascade):
        def render_previews(self, states):
            raise RuntimeError("a fault of ours")

    with caplog.at_level(logging.ERROR):
        events = list(Engine(Broken()).run(make_request(images=2)))
    assert len(results(events)) == 2
    assert {event.preview for event in progress(events)} == {None}
    assert caplog.text.count("Previews failed") == 1


def test_a_device_lost_in_a_preview_is_lost():
    class Lost(FakeCascade):
        def render_previews(self, states):
            raise DeviceLost("an illegal memory access")

    engine = Engine(Lost())
    ticket = engine.submit(make_request(), "ann")
    with pytest.raises(DeviceLost):
        finish(engine)
    ticket.close()


def test_a_preview_without_memory_is_left_out():
    class Full(FakeCascade):
        def render_previews(self, states):
            if len(self.steps) < 3:
                raise MemoryError
            return super().render_previews(states)

    seen = [
        event.preview for event in progress(step_and_read(Engine(Full(), clock=Clock()), make_request(prior_steps=5)))
    ]
    assert seen[:2] == [None, None]
    assert seen[2] is not None


def test_the_interval_of_previews_grows_with_the_number_of_images():
    assert [preview_interval_s(images) for images in (1, 2, 5, 8, 30)] == [0.1, 0.2, 0.5, 1, 1]
