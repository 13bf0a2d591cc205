"""What people are told of the time ahead of them: their place in line, and how long things will take.

Pure functions of what is measured and what there is to do. Does not know threads or the device.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from wuerst_demo.engine.batching import Job, lined_up
from wuerst_demo.engine.flight import Flight
from wuerst_demo.engine.pace import Pace
from wuerst_demo.events import Queued

if TYPE_CHECKING:
    from wuerst_demo.request import Request

Flights = Iterable[Flight[Any]]


def places(
    flights: Flights, jobs: Sequence[Job], line: Sequence[str], pace: Pace
) -> Iterator[tuple[Flight[Any], Queued]]:
    """For those who wait for their first turn: how many turns are ahead of it, at most, and how long they take."""
    line = lined_up(jobs, line)
    before: Counter[str] = Counter()
    for flight in flights:
        if not flight.over and flight.begun is None:
            ahead = line.index(flight.owner) + len(line) * before[flight.owner]
            before[flight.owner] += 1
            yield flight, Queued(ahead + 1, None if pace.turn is None else round(ahead * pace.turn, 1))


def expected(flight: Flight[Any], pace: Pace) -> float | None:
    """Seconds that a request still needs of the device; None where a part of it has not been measured yet."""
    whole = pace.alone(flight.request)
    return None if whole is None else whole * flight.rest


def estimate(request: Request, flights: Flights, pace: Pace) -> float | None:
    """Seconds that a request would take if it came now.

    While it is drawn everybody else has as many turns as it does, or as many as they still need.
    """
    own = pace.alone(request)
    if own is None:
        return None
    others: defaultdict[str, float] = defaultdict(float)
    for flight in flights:
        rest = expected(flight, pace)
        others[flight.owner] += own * flight.rest if rest is None else rest
    return own + sum(min(own, rest) for rest in others.values())
