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
from wuerst_demo.engine.rows import Row
from wuerst_demo.events import Queued

if TYPE_CHECKING:
    from wuerst_demo.request import Request

Flights = Iterable[Flight[Any]]


def places(
    flights: Flights, jobs: Sequence[Job], line: Sequence[str], pace: Pace
) -> Iterator[tuple[Flight[Any], Queued]]:
    """For those who wait for their first turn: how many turns are ahead of it, at most, and how long they take."""
    waiting = [flight for flight in flights if not flight.over and flight.begun is None]
    line = lined_up(jobs, line) if waiting else line
    before: Counter[str] = Counter()
    for flight in waiting:
        ahead = line.index(flight.owner) + len(line) * before[flight.owner]
        before[flight.owner] += 1
        yield flight, Queued(ahead + 1, None if pace.turn is None else round(ahead * pace.turn, 1))


def left(rows: Iterable[Row], request: Request, pace: Pace) -> float | None:
    """Seconds that rows of a request still need of the device; None where a part of it has not been measured yet."""
    prior, decoder, vqgan = 0, 0, 0
    for row in rows:
        vqgan += 1
        if row.stage == "prior":
            prior += row.of - row.step
            decoder += request.decoder_steps
        elif row.stage == "decoder":
            decoder += row.of - row.step
    return pace.evaluations(request, prior, decoder, vqgan)


def expected(flight: Flight[Any], pace: Pace) -> float | None:
    """Seconds that a request still needs of the device; None where a part of it has not been measured yet."""
    return pace.alone(flight.request) if flight.begun is None else left(flight.flying, flight.request, pace)


def rest(rows: Iterable[Row], request: Request, pace: Pace, elapsed: float, stretch: float = 1.0) -> float | None:
    """Seconds until a request is done that has these rows left, `elapsed` seconds after it was begun; None as `left`.

    It goes on at the speed it has had so far: company, and whatever else the device does, has slowed that down. To
    begin with there is little to go by, so it starts from `stretch`, how many times as long as alone it was expected
    to take, which counts for a tenth of the whole.
    """
    ahead, whole = left(rows, request, pace), pace.alone(request)
    if ahead is None or whole is None:
        return None
    prior = whole / 10
    return ahead * max(1.0, (elapsed + prior * stretch) / (max(0.0, whole - ahead) + prior)) if whole else 0.0


def estimate(request: Request, flights: Flights, pace: Pace) -> float | None:
    """Seconds that a request would take if it came now.

    While it is drawn everybody else has as many turns as it does, or as many as they still need.
    """
    own = pace.alone(request)
    if own is None:
        return None
    others: defaultdict[str, float] = defaultdict(float)
    for flight in flights:
        ahead = expected(flight, pace)
        others[flight.owner] += own if ahead is None else ahead
    return own + sum(min(own, ahead) for ahead in others.values())


def stretch(request: Request, flights: Flights, pace: Pace) -> float:
    """How many times as long as alone a request would take if it came now; 1 where that is not known."""
    alone, now = pace.alone(request), estimate(request, flights, pace)
    return now / alone if alone and now else 1.0
