"""What there is to be seen of pictures on their way: previews within their time, and the estimates of every step."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from tests.engine.crowd import Clock, drain, finish, request, results
from tests.fakes import FakeCascade
from wuerst_demo.engine.inline import Inline
from wuerst_demo.engine.local import Local
from wuerst_demo.engine.previews import A_SECOND, AHEAD, SHARE, Previews, apart
from wuerst_demo.errors import DeviceLost
from wuerst_demo.events import Progress


class Slow(FakeCascade):
    """Previews that take time, and are written down with it."""

    def __init__(self, clock, cost, **values):
        super().__init__(**values)
        self.clock, self.cost, self.made = clock, cost, []

    def previews(self, rows):
        self.made += [(self.clock.now, row.request.seed) for row in rows]
        self.clock.pass_by(self.cost * len(rows))
        return super().previews(rows)


def progress(events):
    return [event for event in events if isinstance(event, Progress)]


@pytest.mark.parametrize("engine", [Inline, Local])
def test_progress_carries_the_newest_preview_of_its_own_image(engine):
    wish = request(images=2, prior_steps=3)
    for event in progress(drain(engine(FakeCascade()), wish)):
        assert event.preview.startswith(b"%d " % (wish.seed + event.image))


@pytest.mark.parametrize("images", range(1, 9))
def test_no_request_has_more_previews_in_a_second_than_stated(images):
    clock = Clock()
    cascade = Slow(clock, 0.0, between=lambda: clock.pass_by(0.013))
    engine = Local(cascade, clock=clock)
    ticket = engine.submit(request(images=images, prior_steps=100, decoder_steps=100), "ann")
    finish(engine)
    times = [when for when, _ in cascade.made]
    assert len(times) > 10
    assert max(sum(start <= when < start + 1 for when in times) for start in times) <= A_SECOND
    assert {seed for _, seed in cascade.made} == {7 + k for k in range(images)}
    assert len(results(ticket)) == images


@pytest.mark.parametrize("cost", [0.0005, 0.004, 0.3])
def test_previews_take_no_more_than_their_share_of_the_time(cost):
    clock = Clock()
    cascade = Slow(clock, cost, between=lambda: clock.pass_by(0.05))
    engine = Local(cascade, rows_at_once=16, waiting=100, clock=clock)
    tickets = [engine.submit(request(seed=k, prior_steps=100, decoder_steps=100), f"person {k}") for k in range(16)]
    finish(engine)
    steps, spent = 0.05 * len(cascade.steps), cost * len(cascade.made)
    # What was ahead of its time once at the start: nobody knew what a preview costs.
    assert spent <= SHARE * steps + 2 * AHEAD + 16 * cost
    assert cascade.made
    for ticket in tickets:
        ticket.close()


def test_whoever_has_waited_longest_for_a_preview_is_shown_first():
    clock = Clock()
    cascade = Slow(clock, 0.02)
    previews = Previews(cascade, clock)
    rows = cascade.begin(request(images=4))
    assert all(previews.after(rows, [0.0] * 4, 1.0))
    shown = previews.after(rows, [0.03, 0.01, 0.02, 9.0], 30.0)
    assert [preview is not None for preview in shown] == [False, True, True, False]


def test_a_preview_that_fails_is_logged_once_and_costs_nobody_a_picture(caplog):
    class Broken(FakeCascade):
        def previews(self, rows):
            raise RuntimeError("a fault of ours")

    with caplog.at_level(logging.ERROR):
        events = list(Inline(Broken()).run(request(images=2)))
    assert len(results(events)) == 2
    assert {event.preview for event in progress(events)} == {None}
    assert caplog.text.count("Previews failed") == 1


def test_a_device_that_is_lost_in_a_preview_is_lost():
    class Lost(FakeCascade):
        def previews(self, rows):
            raise DeviceLost("an illegal memory access")

    engine = Local(Lost())
    ticket = engine.submit(request(), "ann")
    with pytest.raises(DeviceLost):
        finish(engine)
    ticket.close()


def test_a_preview_for_which_there_is_no_memory_is_left_out():
    class Full(FakeCascade):
        def previews(self, rows):
            if len(self.steps) < 3:
                raise MemoryError
            return super().previews(rows)

    seen = [event.preview for event in progress(drain(Local(Full(), clock=Clock()), request(prior_steps=5)))]
    assert seen[:2] == [None, None]
    assert seen[2] is not None


def test_the_time_between_previews_grows_with_the_number_of_images():
    assert [apart(images) for images in (1, 2, 5, 8, 30)] == [0.1, 0.2, 0.5, 1, 1]


@pytest.mark.parametrize("engine", [Inline, Local])
def test_stages_come_with_every_picture_that_they_were_asked_for_and_with_no_other(engine):
    wish = request(images=3, prior_steps=4, decoder_steps=2, seed=20)
    found = results(drain(engine(FakeCascade()), wish, stages=True))
    assert len(found) == 3
    for result in found:
        assert [estimate.shape[0] for estimate in result.stages.prior] == [16] * 4
        assert [estimate.shape[0] for estimate in result.stages.decoder] == [4] * 2
        for estimate in (*result.stages.prior, *result.stages.decoder):
            assert estimate.dtype == np.float32
            assert (estimate == result.request.seed).all()
    assert {result.stages for result in results(drain(engine(FakeCascade()), wish))} == {None}


def test_whoever_asks_for_stages_leaves_company_without_them():
    class Counting(FakeCascade):
        asked = 0

        def estimates(self, rows):
            self.asked += len(rows)
            return super().estimates(rows)

    cascade = Counting()
    engine = Local(cascade)
    curious, other = engine.submit(request(), "ann", stages=True), engine.submit(request(), "ben")
    finish(engine)
    assert {len(step) for step in cascade.steps} == {2}
    assert cascade.asked == 2 + 1
    assert results(curious)[0].stages
    assert results(other)[0].stages is None


def test_estimates_that_find_no_memory_are_tried_again_and_none_is_missing():
    class Full(FakeCascade):
        refused = 0

        def estimates(self, rows):
            if len(rows) > 1:
                self.refused += 1
                raise MemoryError
            return super().estimates(rows)

    cascade = Full()
    found = results(drain(Local(cascade), request(images=2, prior_steps=5), stages=True))
    assert cascade.refused
    assert [len(result.stages.prior) for result in found] == [5, 5]


@pytest.mark.parametrize("engine", [Inline, Local])
def test_the_rest_is_not_known_at_first_and_then_told_until_nothing_is_left(engine):
    made = engine(FakeCascade())
    first = progress(drain(made, request()))
    assert {event.rest for event in first if event.stage == "prior"} == {None}
    rests = [event.rest for event in progress(drain(made, request(prior_steps=9)))]
    assert None not in rests
    assert rests[-1] == 0


def test_the_rest_is_what_is_left_at_the_pace_that_was_measured():
    clock = Clock()
    engine = Local(FakeCascade(between=lambda: clock.pass_by(2)), clock=clock)
    drain(engine, request(prior_steps=3, decoder_steps=2))
    seen = progress(drain(engine, request(prior_steps=3, decoder_steps=2)))
    assert [event.rest for event in seen] == pytest.approx([8, 6, 4, 2, 0, 0])


def test_in_company_the_rest_is_as_much_longer_as_the_request_takes():
    """Three people whose sizes differ share no step: everything takes three times as long."""
    clock = Clock()
    engine = Local(FakeCascade(between=lambda: clock.pass_by(2)), clock=clock)
    for width in (128, 256, 384):
        drain(engine, request(width=width))
    wishes = [request(width=width, prior_steps=10, decoder_steps=10) for width in (128, 256, 384)]
    tickets = [engine.submit(wish, f"person {wish.width}") for wish in wishes]
    start, rests = clock.now, []
    while engine._turn():
        rests += [(clock.now, event.rest) for event in progress([tickets[0]._flight.board.standing])]
    end = max(when for when, rest in rests if rest)
    assert end - start > 2.5 * 40
    for when, rest in rests[len(rests) // 3 :]:
        assert rest == pytest.approx(end - when, abs=25)
