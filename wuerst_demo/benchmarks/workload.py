"""Clients of a load test: when they arrive, what they request, and two ways to serve them in real time."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from wuerst_demo.benchmarks.statistics import ClientLatency
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.ticket import Ticket
from wuerst_demo.events import Progress, Result
from wuerst_demo.fleet.fleet import Fleet
from wuerst_demo.request import Request

ImageSize = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Arrival:
    """A client (numbered from 0) that requests one image `at_s` seconds after the start."""

    client: int
    at_s: float
    request: Request


def poisson_times(count: int, rate_per_s: float, rng: random.Random) -> list[float]:
    """Arrival times in seconds of a Poisson process; the first client arrives at 0."""
    return list(itertools.accumulate((rng.expovariate(rate_per_s) for _ in range(count - 1)), initial=0.0))


def mixed_sizes(size: ImageSize) -> list[ImageSize]:
    """The size, one step wider, and one step taller: three latent shapes that cannot share a forward pass."""
    width, height = size
    return [size, (width + 128, height), (width, height + 128)]


def serve_sequentially(
    generate: Callable[[Request], object],
    arrivals: Sequence[Arrival],
    batch_size: int = 1,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
) -> list[ClientLatency]:
    """Serves one client after another, first come, first served.

    With a `batch_size` above 1, clients that wait for the same size are served by one call with
    `num_images_per_prompt`, all with the first one's prompt: the best case of the diffusers pipelines, which cannot
    batch different prompts.
    """
    start, waiting, served = clock(), list(arrivals), list[ClientLatency]()
    while waiting:
        first = waiting[0]
        sleep(max(0.0, start + first.at_s - clock()))
        now = clock() - start
        batch = [each for each in waiting if each.at_s <= now and _size(each) == _size(first)][:batch_size] or [first]
        generate(replace(first.request, images=len(batch)))
        finished = clock() - start
        served += [ClientLatency(each.client, None, finished - each.at_s, finished) for each in batch]
        waiting = [each for each in waiting if each not in batch]
    return served


def serve_with_engine(
    engine: Engine[Any] | Fleet,
    arrivals: Sequence[Arrival],
    age_s: Callable[[bytes], float] | None = None,
    images_each: int = 1,
) -> list[ClientLatency]:
    """Submits each request when its client arrives and reads its events in a thread of its own, as the page does.

    Each client requests `images_each` images, one after another. `age_s` gives the age of a preview, where previews say
    when they were made. Returns the latencies of all images, each from its submission."""

    def read(client: int, submitted_at_s: float, ticket: Ticket) -> ClientLatency:
        preview_s, shown, oldest_s = None, None, None
        with closing(ticket):
            for event in ticket:
                now = time.perf_counter() - start
                if isinstance(event, Progress) and event.preview is not None and event.preview is not shown:
                    shown, preview_s = event.preview, now - submitted_at_s if preview_s is None else preview_s
                    oldest_s = max(oldest_s or 0.0, age_s(shown)) if age_s else None
                if isinstance(event, Result):
                    return ClientLatency(client, preview_s, now - submitted_at_s, now, oldest_s)
        raise RuntimeError("a request ended without its image")

    def submit(client: int, request: Request) -> Ticket:
        return engine.submit(request, f"client {client}")

    def serve(arrival: Arrival, first: Ticket) -> list[ClientLatency]:
        served = [read(arrival.client, arrival.at_s, first)]
        for number in range(1, images_each):
            following = replace(arrival.request, seed=arrival.request.seed + number * len(arrivals))
            submitted_at_s = time.perf_counter() - start
            served.append(read(arrival.client, submitted_at_s, submit(arrival.client, following)))
        return served

    with ThreadPoolExecutor(len(arrivals)) as pool:
        everybody = threading.Barrier(len(arrivals))
        list(pool.map(lambda _: everybody.wait(), arrivals))  # a client's thread is there before the client comes
        start, clients = time.perf_counter(), []
        for at_s, together in itertools.groupby(arrivals, key=lambda arrival: arrival.at_s):
            time.sleep(max(0.0, start + at_s - time.perf_counter()))
            submitted = [(arrival, submit(arrival.client, arrival.request)) for arrival in together]
            clients += [pool.submit(serve, *each) for each in submitted]
        return [latency for client in clients for latency in client.result()]


def _size(arrival: Arrival) -> ImageSize:
    return arrival.request.width, arrival.request.height
