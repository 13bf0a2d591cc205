"""Sizes that a checkpoint can draw, for people who think in shapes: one for each of a few proportions.

Does not know Gradio.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from wuerst_demo.request import Limits, Number

SHAPES = ((1, 1), (4, 3), (3, 4), (3, 2), (2, 3), (16, 9), (9, 16))
NEAR = 0.06
"""How far a size may be from its proportion: 1408 x 1024 is 3 % off 4:3."""


@dataclass(frozen=True)
class Size:
    """`name` is its proportion, such as "3:2"; sides in pixels."""

    name: str
    width: int
    height: int


def shapes(limits: Limits) -> tuple[Size, ...]:
    """For each proportion that the limits admit, the size whose area is nearest to that of the default size; none
    where a side is fixed."""
    width, height = limits.number("width"), limits.number("height")
    if width.least == width.most or height.least == height.most:
        return ()
    usual = (width.default or width.least) * (height.default or height.least)
    found: dict[tuple[int, int], str] = {}
    for across, down in SHAPES:
        near = [(w, h) for w, h in product(_sides(width), _sides(height)) if abs(w * down / (h * across) - 1) < NEAR]
        if near:
            best = min(near, key=lambda size: (abs(size[0] * size[1] - usual), size))
            found.setdefault(best, f"{across}:{down}")
    return tuple(Size(name, *size) for size, name in found.items())


def _sides(number: Number) -> range:
    return range(int(number.least), int(number.most) + 1, int(number.step))
