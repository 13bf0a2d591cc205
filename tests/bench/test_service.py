"""Who is served when and with whom. How long it takes is not tested: only orders, numbers and who gets what."""

from __future__ import annotations

import threading

import pytest

from tests.engine.crowd import Clock
from tests.fakes import FakeCascade
from wuerst_demo.bench.arrivals import Visit
from wuerst_demo.bench.service import Wish, at_engine, in_line
from wuerst_demo.engine.local import Local
from wuerst_demo.engine.watch import Nobody
from wuerst_demo.errors import UserError
from wuerst_demo.request import Limits

SMALL, WIDE = (128, 128), (256, 128)


def wish(person, size=SMALL, at=0.0):
    values = {"prompt": f"number {person}", "seed": person, "prior_steps": 2, "decoder_steps": 1}
    return Wish(Visit(person, at, size), Limits().request({**values, "width": size[0], "height": size[1]}))


class Drawer:
    """Notes what it is asked to draw, which takes a second for each picture."""

    def __init__(self):
        self.drawn = []
        self.clock = Clock()

    def __call__(self, request):
        self.drawn.append((request.prompt, request.images))
        self.clock.pass_by(request.images)

    def serve(self, wishes, together=1):
        seen = in_line(self, wishes, together, self.clock, self.clock.pass_by)
        consistent(seen, wishes)
        return {each.person: (each.picture, each.left) for each in seen}


def consistent(seen, wishes):
    """Everybody has one picture, later than they came, and not later than the end."""
    assert sorted(each.person for each in seen) == [wish.visit.person for wish in wishes]
    at = {wish.visit.person: wish.visit.at for wish in wishes}
    for each in seen:
        assert each.picture >= 0
        assert each.left == pytest.approx(at[each.person] + each.picture)
        assert each.preview is None or 0 <= each.preview <= each.picture


def test_in_a_line_everybody_is_drawn_for_alone_in_the_order_of_their_coming():
    draw = Drawer()
    seen = draw.serve([wish(0), wish(1, WIDE), wish(2, at=0.5), wish(3, at=9)])
    assert seen == {0: (1, 1), 1: (2, 2), 2: (2.5, 3), 3: (1, 10)}
    assert draw.drawn == [(f"number {k}", 1) for k in range(4)]


def test_with_one_prompt_those_who_wait_for_one_size_are_drawn_for_together():
    draw = Drawer()
    seen = draw.serve([wish(0), wish(1, WIDE), wish(2), wish(3), wish(4, WIDE)], together=2)
    assert seen == {0: (2, 2), 2: (2, 2), 1: (4, 4), 4: (4, 4), 3: (5, 5)}
    assert draw.drawn == [("number 0", 2), ("number 1", 2), ("number 3", 1)]


def test_whoever_has_not_come_yet_is_not_drawn_for_with_the_others():
    draw = Drawer()
    assert draw.serve([wish(0), wish(1, at=0.05)], together=8) == {0: (1, 1), 1: (1.95, 2)}
    assert draw.drawn == [("number 0", 1), ("number 1", 1)]


def test_at_the_engine_people_share_their_steps_and_each_gets_a_picture():
    everybody = threading.Event()

    class Door(Nobody):
        """Lets the first step begin when the fifth has come."""

        came_so_far = 0

        def came(self):
            self.came_so_far += 1
            if self.came_so_far == 5:
                everybody.set()

    cascade = FakeCascade(between=lambda: everybody.wait(20))
    with Local(cascade, watch=Door()) as engine:
        wishes = [wish(k) for k in range(5)]
        consistent(at_engine(engine, wishes), wishes)
    assert sum(len(rows) for rows in cascade.steps) == 5 * (2 + 1)
    assert max(len(rows) for rows in cascade.steps) > 1


def test_a_picture_that_does_not_come_ends_the_measurement():
    with Local(FakeCascade(spoilt=[1])) as engine, pytest.raises(UserError, match="spoilt"):
        at_engine(engine, [wish(0), wish(1)])
