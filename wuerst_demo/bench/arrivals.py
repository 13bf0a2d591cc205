"""Who comes when, and asks for a picture of which size. Does not know clocks, engines or what is drawn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Visit:
    """Person `person` (from 0) comes `at` seconds after the start and asks for one picture of `size`."""

    person: int
    at: float
    size: Size


def at_once(people: int, sizes: Sequence[Size]) -> list[Visit]:
    """All together; the sizes go round among them."""
    return [Visit(person, 0.0, sizes[person % len(sizes)]) for person in range(people)]


def stream(people: int, sizes: Sequence[Size], rate: float, chance: random.Random) -> list[Visit]:
    """One after another as a Poisson stream of `rate` people a second; the first comes at once."""
    visits, at = [], 0.0
    for person in range(people):
        visits.append(Visit(person, at, sizes[person % len(sizes)]))
        at += chance.expovariate(rate)
    return visits


def mixed(size: Size) -> list[Size]:
    """A size, and that one step wider and one step taller: three shapes that cannot share a forward pass."""
    width, height = size
    return [size, (width + 128, height), (width, height + 128)]
