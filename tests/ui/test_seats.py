"""Seats of a browser's tabs, and what is begun on them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from wuerst_demo.ui.seats import KEPT, MOST, Seat, Seats

ME = Seat("me" * 10, "left")


@dataclass(eq=False)
class Thing:
    at: float = 0.0
    over: bool = True
    ended: bool = False
    page: str = ""

    def end(self):
        self.ended = True


@pytest.mark.parametrize("said", [None, "", "short", 7, ["me"], "x" * 1000, "\n" * 30])
def test_whoever_is_not_known_becomes_somebody_new(said):
    one, other = Seat.taken(said, "tab"), Seat.taken(said, "tab")
    assert one.owner != other.owner
    assert one.tab == "tab"


def test_whoever_is_known_keeps_the_name_and_a_nonsense_tab_gets_none():
    known = Seat.taken(None, None).owner
    assert Seat.taken(known, {"a": 1}) == Seat(known, "")


def test_what_is_begun_is_found_on_its_seat_alone_and_ends_where_the_next_one_begins():
    seats, one, other = Seats(lambda: 0.0), Thing(), Thing()
    seats.take(ME, one)
    assert seats.find(ME) is one
    assert seats.find(Seat(ME.owner, "right")) is None
    seats.take(ME, other)
    assert seats.find(ME) is other
    assert one.ended
    assert not other.ended


@pytest.mark.parametrize(("begun_on", "asking", "left"), [("a", "a", False), ("a", "b", True), ("", "", True)])
def test_a_page_comes_back_to_what_another_page_has_begun(begun_on, asking, left):
    seats, thing = Seats(lambda: 0.0), Thing(page=begun_on)
    seats.take(ME, thing)
    assert seats.left(ME, asking) is (thing if left else None)
    assert seats.left(Seat(ME.owner, "right"), asking) is None


def test_what_has_not_been_seen_for_too_long_ends():
    now = [0.0]
    seats, thing = Seats(lambda: now[0]), Thing(over=False)
    seats.take(ME, thing)
    now[0] = thing.at = KEPT
    now[0] += KEPT
    assert seats.find(ME) is thing
    now[0] += 1
    assert seats.find(ME) is None
    assert thing.ended


def test_of_too_many_the_oldest_that_are_over_go_and_those_that_go_on_stay():
    seats, things = Seats(lambda: 0.0), [Thing(over=k > 0) for k in range(MOST + 3)]
    for k, thing in enumerate(things):
        seats.take(Seat(f"{k:020}"), thing)
    assert [k for k, thing in enumerate(things) if thing.ended] == [1, 2, 3]


def test_of_too_many_those_go_too_that_nobody_looks_at():
    now = [0.0]
    seats, things = Seats(lambda: now[0]), [Thing(over=False) for _ in range(MOST + 1)]
    for k, thing in enumerate(things):
        thing.at = now[0] = float(k)
        seats.take(Seat(f"{k:020}"), thing)
    assert [k for k, thing in enumerate(things) if thing.ended] == [0]
