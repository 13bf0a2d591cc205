"""Who is let in: bounds on how much is taken on, and how long those who are not let in should wait.

Does not know threads or the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wuerst_demo.engine.flight import Flight
from wuerst_demo.engine.outlook import expected
from wuerst_demo.engine.pace import Pace
from wuerst_demo.errors import Busy, UserError

if TYPE_CHECKING:
    from wuerst_demo.request import Request

LONGEST = 200
"""Characters that a session id may have."""


@dataclass(frozen=True)
class Bounds:
    """How many pictures may be in the engine, drawn or waiting: of everybody together, and of one person."""

    in_all: int
    of_one: int


def check(session: object) -> None:
    """Refuses what cannot be somebody's session: UserError."""
    if not isinstance(session, str) or not 0 < len(session) <= LONGEST:
        raise UserError(f"A session is text of 1 to {LONGEST} characters; reload the page to get one.")


def admit(
    bounds: Bounds,
    request: Request,
    session: str,
    flights: Sequence[Flight[Any]],
    pace: Pace,
) -> None:
    """Refuses a request where the bounds leave no room for its pictures: Busy. Where there is nothing else it is
    always taken. `pace` says how long to wait."""
    own = [flight for flight in flights if flight.owner == session]
    people = len({flight.owner for flight in flights if not flight.over})
    for asked, most, each, line in (
        (own, bounds.of_one, people, "You have as many pictures in line as one person may have"),
        (flights, bounds.in_all, 1, "The line is full"),
    ):
        there = sum(flight.rows for flight in asked)
        if there and there + request.images > most:
            rests = [expected(flight, pace) for flight in asked if not flight.over]
            # Room comes evenly while what is there gets done; of one person's, one turn in each round of people.
            share = each * min(1.0, (there + request.images - most) / there)
            wait = None if None in rests else share * sum(rest for rest in rests if rest is not None)
            when = "in a minute" if wait is None else f"in about {max(1, round(wait))} s"
            raise Busy(f"{line} ({there}); try again {when}.", wait)
