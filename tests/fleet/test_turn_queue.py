"""Turns over the whole fleet: order on small examples, and the bound on waiting in simulations."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from dataclasses import dataclass

import pytest

from wuerst_demo.fleet.placement import ReplicaLoad
from wuerst_demo.fleet.turn_queue import TurnQueue


def queue_of(**items):
    queue = TurnQueue()
    for session, each in items.items():
        for item in each:
            queue.add(session, item)
    return queue


def taken(queue, can_dispatch=lambda item: True):
    found = []
    while (item := queue.take(can_dispatch)) is not None:
        found.append(item)
    return found


def test_sessions_take_turns_and_keep_their_own_order():
    queue = queue_of(ann=["a1", "a2", "a3"], ben=["b1"], cid=["c1", "c2"])
    assert list(queue) == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert len(queue) == 6
    assert taken(queue) == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert len(queue) == 0


def test_a_session_that_cannot_go_on_keeps_its_turn():
    queue = queue_of(ann=["large"], ben=["b1", "b2"])
    assert queue.take(lambda item: item != "large") == "b1"
    assert queue.take(lambda item: True) == "large"


def test_a_session_that_comes_back_goes_to_the_end():
    queue = queue_of(ann=["a1"], ben=["b1", "b2"])
    assert queue.take(lambda item: True) == "a1"
    queue.add("ann", "a2")
    assert taken(queue) == ["b1", "a2", "b2"]


def test_what_is_restored_comes_first():
    queue = queue_of(ann=["a1"], ben=["b1", "b2"])
    assert taken(queue, lambda item: item.startswith("b")) == ["b1", "b2"]
    queue.restore("ben", "b2")
    queue.restore("ben", "b1")
    assert taken(queue) == ["b1", "a1", "b2"]


def test_discarding_uses_up_no_turn():
    queue = queue_of(ann=["a1"], ben=["b1"], cid=["c1"])
    queue.discard(lambda item: item == "b1")
    assert taken(queue) == ["a1", "c1"]


SIZES = [(1, 1), (2, 1), (3, 1)]


@dataclass(eq=False)
class Picture:
    session: str
    size: tuple[int, int]
    left: int
    """Time that it needs on a replica."""
    ahead: int
    """Pictures of its session that waited when it came."""
    passed: int = 0
    """Pictures taken since, while the next one of its session could be dispatched."""
    sessions: int = 0
    """The most sessions that have waited since."""


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2, 3, 8, 64])
def test_nobody_waits_longer_than_the_bound_in_ten_thousand_arrivals(replicas):
    rng, queue, waiting = random.Random(replicas), TurnQueue(), defaultdict(list)
    running = [[] for _ in range(replicas)]
    arrived = given = passes = 0
    while arrived < 10_000 or len(queue):
        for _ in range(rng.randrange(6 * replicas)):
            if arrived < 10_000 and sum(map(len, waiting.values())) < 60 + 5 * replicas:
                session = f"client {rng.randrange(12 * replicas)}"
                for _ in range(rng.choice([1, 1, 1, 2, 8])):
                    picture = Picture(session, rng.choice(SIZES), rng.randrange(1, 9), len(waiting[session]))
                    waiting[session].append(picture)
                    queue.add(session, picture)
                arrived += 1
        loads = [ReplicaLoad("", 4, Counter(each.size for each in images)) for images in running]
        while True:
            rooms = {size: [k for k, load in enumerate(loads) if load.has_room(size)] for size in SIZES}
            waiting = defaultdict(list, {session: each for session, each in waiting.items() if each})
            can_go = {session: bool(rooms[each[0].size]) for session, each in waiting.items()}
            picture = queue.take(lambda each, rooms=rooms: bool(rooms[each.size]))
            if picture is None:
                break
            given += 1
            for each in itertools.chain(*waiting.values()):
                each.passed += can_go[each.session]
                each.sessions = max(each.sessions, len(waiting))
            assert picture.passed <= picture.sessions * (picture.ahead + 1)
            passes = max(passes, picture.passed - picture.ahead)
            assert waiting[picture.session].pop(0) is picture
            chosen = rng.choice(rooms[picture.size])
            running[chosen].append(picture)
            loads[chosen] = loads[chosen].with_image(picture.size)
        for images in running:
            for picture in images:
                picture.left -= 1
            images[:] = [picture for picture in images if picture.left]
    assert given >= arrived
    assert passes > 5  # there were queues
