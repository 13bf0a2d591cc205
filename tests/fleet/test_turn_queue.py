"""Turns over the whole fleet: order on small examples, and the bound on waiting in simulations."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from dataclasses import dataclass

import pytest

from wuerst_demo.fleet.replica_choice import ReplicaLoad
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


def test_addresses_take_turns_and_so_do_the_sessions_of_each():
    queue = TurnQueue()
    for session, address in [("tab 1", "x"), ("tab 2", "x"), ("ben", "y"), ("cid", ""), ("x", "")]:
        for number in (1, 2):
            queue.add(session, f"{session}/{number}", address)
    order = ["tab 1/1", "ben/1", "cid/1", "x/1", "tab 2/1", "ben/2", "cid/2", "x/2", "tab 1/2", "tab 2/2"]
    assert list(queue) == order
    assert taken(queue) == order


def test_a_session_that_cannot_go_on_leaves_the_turn_to_another_of_its_address():
    queue = TurnQueue()
    for session, item in [("tab 1", "large"), ("tab 2", "t2"), ("tab 3", "t3")]:
        queue.add(session, item, "x")
    queue.add("ben", "b1", "y")
    assert taken(queue, lambda item: item != "large") == ["t2", "b1", "t3"]
    assert queue.take(lambda item: True) == "large"


def test_what_is_restored_comes_first_of_its_address_too():
    queue = TurnQueue()
    for session, item in [("tab 1", "t1"), ("tab 2", "t2")]:
        queue.add(session, item, "x")
    queue.add("ben", "b1", "y")
    queue.restore("tab 2", "t0", "x")
    assert taken(queue) == ["t0", "b1", "t1", "t2"]


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
    address: str = ""
    passed: int = 0
    """Pictures taken since, while the next one of its session could be dispatched, in rounds that have ended with a
    turn of its address that its session could have had."""
    round: int = 0
    """Likewise since the last turn of its address."""
    addresses: int = 0
    """The most addresses that have waited since; a session of unknown address is one."""
    sessions: int = 0
    """The most sessions of its own address that have waited since."""

    @property
    def client(self):
        return self.address or self.session


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2, 3, 8, 64])
def test_nobody_waits_longer_than_the_bound_in_ten_thousand_arrivals(replicas):
    rng, queue, waiting = random.Random(replicas), TurnQueue(), defaultdict(list)
    running = [[] for _ in range(replicas)]
    arrived = given = passes = 0
    while arrived < 10_000 or len(queue):
        for _ in range(rng.randrange(6 * replicas)):
            if arrived < 10_000 and sum(map(len, waiting.values())) < 60 + 5 * replicas:
                number = rng.randrange(12 * replicas)
                session, address = f"client {number}", f"network {number % 4}" if number % 3 else ""
                for _ in range(rng.choice([1, 1, 1, 2, 8])):
                    picture = Picture(session, rng.choice(SIZES), rng.randrange(1, 9), len(waiting[session]), address)
                    waiting[session].append(picture)
                    queue.add(session, picture, address)
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
            clients = Counter(each[0].client for each in waiting.values())
            for each in itertools.chain(*waiting.values()):
                each.round += can_go[each.session]
                if each.client == picture.client:
                    each.passed, each.round = each.passed + each.round * can_go[each.session], 0
                each.addresses = max(each.addresses, len(clients))
                each.sessions = max(each.sessions, clients[each.client])
            assert picture.passed <= picture.addresses * picture.sessions * (picture.ahead + 1)
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
