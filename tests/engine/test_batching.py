"""Which rows go together and whose turn it is: pure functions, tried on rows of the fake and on random crowds."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from tests.fakes import FakeRow
from wuerst_demo.engine.batching import Place, lined_up, next_turn, together, turn
from wuerst_demo.request import Limits

REQUEST = Limits().request({"seed": 1})


def rows(*stages):
    return [FakeRow(image, REQUEST, stage, 0, 1) for image, stage in enumerate(stages)]


@dataclass(frozen=True)
class Work:
    """A row that needs `left` more evaluations; at `left == 1` it stands in the VQGAN, which takes one at a time."""

    owner: str
    rank: tuple[int, ...]
    shape: int = 0
    left: int = 10
    most: int = 8

    @property
    def key(self):
        return (self.rank if self.left == 1 else self.shape, self.left > 3)

    @property
    def room(self):
        return 1 if self.left == 1 else self.most

    @property
    def stage(self):
        return "vqgan" if self.left == 1 else "prior" if self.left > 3 else "decoder"


def names(jobs):
    return [job.owner for job in jobs]


def test_the_first_row_decides_which_rows_go_with_it():
    assert [row.image for row in together(rows("decoder", "prior", "decoder", "vqgan"), 8)] == [0, 2]


def test_no_more_rows_go_together_than_there_is_room_for():
    assert [row.image for row in together(rows("prior", "prior", "prior"), 2)] == [0, 1]


def test_without_jobs_nobody_has_a_turn():
    assert turn([], ["ann", "ben"]) == ([], [])


def test_people_lead_in_turns_and_newcomers_stand_behind_by_age():
    jobs = [Work("cid", (3,), 3), Work("ann", (1,), 1), Work("ben", (2,), 2)]
    line, led = ["ben"], []
    for _ in range(6):
        batch, line = turn(jobs, line)
        led += names(batch)
    assert led == ["ben", "ann", "cid"] * 2
    assert lined_up(jobs, ["gone", "cid"]) == ["cid", "ann", "ben"]


def test_the_first_of_everybody_rides_along_before_the_second_of_anybody():
    jobs = [Work("ann", (0, k), most=4) for k in range(8)] + [Work("ben", (1,), most=4), Work("cid", (2,), most=4)]
    batch, line = turn(jobs, ["ben"])
    assert [job.rank for job in batch] == [(1,), (0, 0), (2,), (0, 1)]
    assert line == ["ann", "cid", "ben"]  # having ridden along costs nobody the turn


def test_rows_of_another_key_never_ride_along():
    jobs = [Work("ann", (0,), 1), Work("ben", (1,), 2), Work("cid", (2,), 1)]
    assert names(turn(jobs, [])[0]) == ["ann", "cid"]


def test_eight_pictures_of_one_person_cost_another_at_most_every_second_turn():
    jobs = [Work("ann", (0, k), shape=k, left=50) for k in range(8)] + [Work("ben", (1,), shape=9, left=10)]
    line, turns = [], 0
    while any(job.owner == "ben" for job in jobs):
        batch, line = turn(jobs, line)
        jobs = moved_on(jobs, batch)
        turns += 1
    assert turns <= 2 * 10


def moved_on(jobs, batch):
    moved = [replace(job, left=job.left - 1) if job in batch else job for job in jobs]
    return [job for job in moved if job.left]


@dataclass
class Wait:
    """What a row has seen since it was last in a batch: turns that others led, turns of its owner, people in line."""

    ahead: int
    others: int = 0
    own: int = 0
    people: int = 0


@pytest.mark.slow
def test_nobody_waits_longer_than_the_stated_bound_over_ten_thousand_arrivals():
    chance = random.Random(20231123)
    jobs, line, waits, arrived = [], [], {}, 0
    while arrived < 10_000 or jobs:
        while arrived < 10_000 and len(jobs) < 40 and chance.random() < 0.6:
            owner = f"person {chance.randrange(12)}"
            for k in range(chance.choice([1, 1, 1, 2, 8])):
                ahead = sum(job.left for job in jobs if job.owner == owner)
                job = Work(owner, (arrived, k), chance.randrange(4), chance.randrange(1, 6), 4)
                jobs.append(job)
                waits[job.rank] = Wait(ahead)
            arrived += 1
        if not jobs:
            continue
        people = len({job.owner for job in jobs})
        leader = lined_up(jobs, line)[0]
        batch, line = turn(jobs, line)
        assert batch[0].owner == leader
        assert batch[0].rank == min(job.rank for job in jobs if job.owner == leader)
        assert len({job.key for job in batch}) == 1
        assert len(batch) <= batch[0].room
        for job in jobs:
            wait = waits[job.rank]
            wait.people = max(wait.people, people)
            wait.others += job.owner != leader
            wait.own += job.owner == leader
            if job in batch:
                assert wait.own <= wait.ahead + 1
                assert wait.others <= (wait.people - 1) * (wait.ahead + 1)
                ahead = sum(each.left for each in jobs if each.owner == job.owner and each.rank < job.rank)
                waits[job.rank] = Wait(ahead)
        jobs = moved_on(jobs, batch)


def test_the_device_stays_in_a_network_and_leaves_it_for_whoever_is_in_line():
    jobs = [Work("ann", (1,), left=90), Work("ben", (2,), left=3), Work("cid", (3,), left=80)]
    place, led = Place(), []
    for _ in range(9):
        batch, place = next_turn(jobs, place, stay=3)
        led.append((batch[0].owner, batch[0].stage))
        jobs = [job if job.owner == "ben" else replace(job, left=job.left - (job in batch)) for job in jobs]
    assert [stage for _, stage in led] == ["prior"] * 4 + ["decoder"] * 4 + ["prior"]
    assert [owner for owner, _ in led[1:4]] == ["ann", "cid", "ann"]  # out of line they take turns, too
    assert led[4][0] == "ben"
    assert led[8][0] == "cid"  # whose place in line the turns between have not taken


def test_without_staying_every_turn_is_in_line():
    jobs = [Work("ann", (1,), 1), Work("ben", (2,), 2)]
    place, line = Place(), []
    for _ in range(5):
        batch, place = next_turn(jobs, place)
        same, line = turn(jobs, line)
        assert batch == same
        assert place.line == line


@pytest.mark.slow
def test_staying_moves_less_and_nobody_waits_longer_than_its_bound_over_ten_thousand_arrivals():
    crowd(10_000, stay=7)
    assert crowd(1_000, stay=0) > 2 * crowd(1_000, stay=7)


def crowd(arrivals, stay):
    """Runs them all, holds every wait to the bound, and counts how often the device changed its network."""
    chance = random.Random(7)
    jobs, place, waits, arrived, moves, stage, turns = [], Place(), {}, 0, 0, "", 0
    while arrived < arrivals or jobs:
        while arrived < arrivals and len(jobs) < 30 and chance.random() < 0.6:
            owner = f"person {chance.randrange(12)}"
            for k in range(chance.choice([1, 1, 1, 2, 8])):
                ahead = sum(job.left for job in jobs if job.owner == owner)
                jobs.append(Work(owner, (arrived, k), chance.randrange(4), chance.randrange(1, 9), 4))
                waits[(arrived, k)] = [turns, ahead, 0]
            arrived += 1
        if not jobs:
            continue
        people = len({job.owner for job in jobs})
        batch, place = next_turn(jobs, place, stay)
        turns += 1
        moves, stage = moves + (batch[0].stage != stage), batch[0].stage
        assert len({job.key for job in batch}) == 1
        for job in jobs:
            wait = waits[job.rank]
            wait[2] = max(wait[2], people)
            if job in batch:
                since, ahead, most = wait
                assert turns - since <= most * (ahead + 1) * (stay + 1)
                ahead = sum(each.left for each in jobs if each.owner == job.owner and each.rank < job.rank)
                waits[job.rank] = [turns, ahead, 0]
        jobs = moved_on(jobs, batch)
    return moves
