"""Chaos: people generate on a cluster whose replicas are killed, frozen and drained and whose machines are removed.

    python -m tests.fleet.chaos [--requests 500] [--people 64] [--interval 2]     # make chaos

Devices are simulated: a step takes a fixed time and no processor. Every request must end once, with its own pictures,
equal to their single runs bit for bit.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import itertools
import os
import random
import secrets
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from tests.engine.clients import ends, eventually, make_request, results
from tests.fakes.cascade import painted
from tests.fleet.object_store import bytes_in_store
from tests.fleet.ray_replicas import Simulated, pid_of
from wuerst_demo.errors import QueueFull
from wuerst_demo.fleet.driver_launcher import start_driver
from wuerst_demo.fleet.fleet import Fleet
from wuerst_demo.fleet.ray_cluster import FleetOptions
from wuerst_demo.fleet.supervisor import Supervisor

MACHINES, REPLICAS_PER_MACHINE = 2, 2
MIN_REQUESTS_BETWEEN = 8
"""Requests that end between two accidents, at least."""
MACHINE = {"num_cpus": REPLICAS_PER_MACHINE, "object_store_memory": 80 * 2**20}


KIND = {"prior_steps": 12, "decoder_steps": 6, "width": 1536, "height": 1536}
"""The fake's pictures of this size are too large for a message: they go through Ray's object store."""


class Cluster:
    """Machines of a Ray cluster, all in processes of this one, and a fleet on them."""

    def __init__(self, step_s=0.1):
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        from ray.cluster_utils import Cluster as Machines

        self.machines = Machines(initialize_head=True, head_node_args={**MACHINE, "num_cpus": 0})
        self.removable = [self.machines.add_node(**MACHINE) for _ in range(MACHINES)]
        launcher = start_driver(FleetOptions(MACHINES * REPLICAS_PER_MACHINE, self.machines.address, "cpu"))
        launcher.load = Simulated(step_s)
        self.seen: set[psutil.Process] = set()
        """All processes that there have been: what loses its parent no longer descends from this one."""
        self.fleet = Fleet(grace_s=5)
        self.supervisor = Supervisor(self.fleet, launcher)
        self.supervisor.start()
        assert self.supervisor.wait_ready() == ""

    def wait_ready(self):
        eventually(lambda: all(each.state == "ready" for each in self.fleet.replicas.values()), 120)

    def look(self):
        """Remembers the processes that there are now."""
        self.seen |= {*psutil.Process().children(recursive=True)}

    def close(self):
        self.look()
        self.supervisor.close()
        self.machines.shutdown()

    def disturb(self, rng):
        """One accident. Returns its name."""
        self.look()
        replica = rng.choice([each for each in self.fleet.replicas.values() if each.description])
        kind = rng.choice(["kill", "freeze", "drain", "remove"])
        with suppress(ProcessLookupError):
            match kind:
                case "kill":
                    os.kill(pid_of(replica), signal.SIGKILL)
                case "freeze":
                    os.kill(pid_of(replica), signal.SIGSTOP)
                case "drain":
                    self.supervisor.drain(replica.name)
                case "remove":
                    self.machines.remove_node(self.removable.pop(0), allow_graceful=False)
                    self.removable.append(self.machines.add_node(wait=False, **MACHINE))
        return kind


@dataclass
class Outcome:
    """What came of it."""

    requests: int = 0
    wrong: list[str] = field(default_factory=list)
    """What was lost, came twice, differed or ended otherwise."""
    rejected: int = 0
    """Submissions that were rejected, because no replica was ready, and repeated."""
    accidents: Counter[str] = field(default_factory=Counter)
    moved: int = 0
    seconds: float = 0.0


def run(cluster, requests, people, interval_s, seed=20):
    """All requests, from so many people at a time, with an accident every `interval_s`, or later on a slow
    machine: where accidents come faster than pictures, each picture meets too many of them."""
    outcome, numbers, lock = Outcome(), itertools.count(), threading.Lock()
    start = time.monotonic()

    def person(session):
        while (number := next(numbers)) < requests:
            images = 1 + number % 3
            request = make_request(prompt=f"{number}", seed=10 * number, images=images, **KIND)
            while True:
                try:
                    ticket = cluster.fleet.submit(request, session)
                    break
                except QueueFull:
                    outcome.rejected += 1
                    time.sleep(0.2)
            wrong = check(ticket, request)
            with lock:
                outcome.requests += 1
                outcome.wrong += wrong

    crowd = [threading.Thread(target=person, args=(f"client {k}",), daemon=True) for k in range(people)]
    for thread in crowd:
        thread.start()
    rng, next_at, ended = random.Random(seed), start + interval_s, 0
    while any(thread.is_alive() for thread in crowd):  # machines can be added in the main thread only
        time.sleep(0.1)
        if time.monotonic() >= next_at and outcome.requests >= ended + MIN_REQUESTS_BETWEEN:
            ended = outcome.requests
            outcome.accidents[cluster.disturb(rng)] += 1
            next_at = time.monotonic() + interval_s
    outcome.moved, outcome.seconds = cluster.fleet.moved, time.monotonic() - start
    return outcome


def check(ticket, request):
    """What is wrong with a request's events, read to the end; nothing, if all is well."""
    events, end = ends(ticket)
    found = results(events)
    wrong = [] if end == "Done" else [f"{request.prompt} ended with {end}"]
    if sorted(each.index for each in found) != list(range(request.images)):
        wrong.append(f"{request.prompt} has pictures {sorted(each.index for each in found)}")
    wrong += [
        f"{request.prompt} has another picture {each.index}"
        for each in found
        if each.request != request.image(each.index) or each.image.tobytes() != painted(each.request).tobytes()
    ]
    return wrong


@dataclass(frozen=True)
class Footprint:
    """What the page and its cluster hold."""

    memory_mib: float = field(compare=False)
    """Of this process."""
    processes: int
    """All that descend from this one."""
    replicas: int
    """Those of them that are actors."""
    store_bytes: int
    """In Ray's object store."""

    @classmethod
    def of(cls, cluster):
        eventually(lambda: cluster.fleet.request_count == 0, 60)  # which are kept for a while after their end
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL("libc.so.6").malloc_trim(0)  # gives back what the C library keeps free
        family = psutil.Process().children(recursive=True)
        names = [process.name() for process in family if process.is_running()]
        names = [name for name in names if not name.startswith("ray::IDLE")]  # which Ray starts and ends as it likes
        replicas = sum(name.startswith("ray::Replica") for name in names)
        memory_mib = round(psutil.Process().memory_info().rss / 2**20)
        return cls(memory_mib, len(names), replicas, bytes_in_store(cluster.machines.address))


def settled_footprint(cluster):
    """What is held once Ray has started and ended all that it does by itself, which takes a while on a busy machine."""
    found = [Footprint.of(cluster)]
    while len(found) < 10 and found[-1:] != found[-2:-1]:
        time.sleep(1)
        found.append(Footprint.of(cluster))
    return found[-1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--people", type=int, default=64)
    parser.add_argument("--interval", type=float, default=2.0)
    given = parser.parse_args()
    cluster = Cluster()
    try:
        cluster.wait_ready()
        # As many people at once: their threads, and what is imported and made with the first pictures.
        quiet = run(cluster, given.people, given.people, float("inf"))
        assert not quiet.wrong, quiet
        before = settled_footprint(cluster)
        outcome = run(cluster, given.requests, given.people, given.interval)
        cluster.wait_ready()
        assert not any(replica.images for replica in cluster.fleet.replicas.values())
        with suppress(AssertionError):  # what came last may be on its way still
            eventually(lambda: Footprint.of(cluster) == before, 60)
        after = Footprint.of(cluster)
        print(f"before: {before}", f"after: {after}", sep="\n")
    finally:
        cluster.close()
    _, left = psutil.wait_procs(cluster.seen, 30)
    print(outcome, f"processes left: {len(left)}", sep="\n")
    raise SystemExit(bool(outcome.wrong or left or outcome.requests < given.requests or after != before))


if __name__ == "__main__":
    main()
