"""Serving a crowd, in real time: by one after another, as every demo does with the stock pipelines, or by our engine.

Does not know torch or the pipelines: one is a function that draws, the other an engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from wuerst_demo.bench.arrivals import Visit
from wuerst_demo.bench.tally import Seen
from wuerst_demo.engine.local import Local
from wuerst_demo.engine.ticket import Ticket
from wuerst_demo.events import Progress, Result
from wuerst_demo.request import Request


@dataclass(frozen=True)
class Wish:
    """A visit with what is asked for: one picture."""

    visit: Visit
    request: Request


def in_line(
    draw: Callable[[Request], object],
    wishes: Sequence[Wish],
    together: int = 1,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
) -> list[Seen]:
    """Draws for whoever waits longest, and for the next one then.

    With `together` above 1 up to as many who wait for one size are drawn for in one call. Stock pipelines can do that
    only for one prompt, so all of them get pictures of the first one's: the most that stock could do for people who
    all ask for the same.
    """
    start, waiting, seen = clock(), list(wishes), []
    while waiting:
        sleep(max(0.0, start + waiting[0].visit.at - clock()))
        now = clock() - start
        fitting = [
            wish for wish in waiting if wish.visit.at <= now and wish.visit.size == waiting[0].visit.size
        ] or waiting[:1]
        chosen = fitting[:together]
        draw(replace(chosen[0].request, images=len(chosen)))
        left = clock() - start
        seen += [Seen(wish.visit.person, None, left - wish.visit.at, left) for wish in chosen]
        waiting = [wish for wish in waiting if wish not in chosen]
    return seen


def at_engine(engine: Local[Any], wishes: Sequence[Wish]) -> list[Seen]:
    """Submits each wish when its person comes; a thread for each reads what comes, as a page's does."""
    start = time.perf_counter()

    def read(visit: Visit, ticket: Ticket) -> Seen:
        preview = None
        with closing(ticket):
            for event in ticket:
                now = time.perf_counter() - start
                if isinstance(event, Progress) and event.preview is not None and preview is None:
                    preview = now - visit.at
                if isinstance(event, Result):
                    return Seen(visit.person, preview, now - visit.at, now)
        raise RuntimeError("a request ended without its picture")

    with ThreadPoolExecutor(len(wishes)) as pool:
        readers = []
        for wish in wishes:
            time.sleep(max(0.0, start + wish.visit.at - time.perf_counter()))
            ticket = engine.submit(wish.request, f"person {wish.visit.person}")
            readers.append(pool.submit(read, wish.visit, ticket))
        return [reader.result() for reader in readers]
