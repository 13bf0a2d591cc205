"""Scenes: what a picture shows, as a description, made at random.

Some combinations are held back: `sample` never makes them, so that they measure what it can put together anew.
Does not know words (see `captions`), pictures, files or networks.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random
from typing import Literal

from wuerst_demo.training.things import COLOURS, PAINTABLE, PLACES, STYLES, THINGS, TIMES, Thing

Kind = Literal["one", "pair", "alike", "crowd"]
CELL = 64
"""Things stand on a grid of so many pixels: there the decoder's coarsest positions are, and a thing looks the same
wherever it stands. That makes far fewer pictures to be learned; without it, edges stayed soft."""
SIZES = {"small": 64, "": 128, "big": 192}
"""Size word -> pixels of a side of the square that a thing stands in, whatever the picture's size."""
COLOURLESS = ("pencil sketch", "black and white", "neon")
"""Styles in which a painted thing cannot be told from another."""
_SQUARE = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
_ACROSS = (0.125, 0.375, 0.625, 0.875)
"""Middles of the cells of a picture of 256 x 256, across or down."""
OUTDOOR_TIMES = ("day", "day", "day", *(time for time in TIMES if time != "day"))


@dataclass(frozen=True)
class Mix:
    """How often scenes show what; as it is here, they are what `evaluate` asks for."""

    kinds: tuple[float, float, float] = (0.44, 0.4, 0.16)
    """Shares of scenes of one thing, of two different ones, and of two or three alike."""
    sized: tuple[float, float, float] = (0.15, 0.62, 0.23)
    """Shares of single things that are small, as large as usual, and big."""
    painted: tuple[float, float] = (0.4, 0.25)
    """Shares of PAINTABLE things in a colour not their own: alone or in a crowd, and beside another one."""
    styled: float = 0.28
    """Share of scenes in some style."""
    crowds: tuple[float, float, float] = (0.3, 0.45, 0.25)
    """Shares of crowds that are four things in a square, a big one with small ones along it, small ones all over."""


USUAL = Mix()


@dataclass(frozen=True)
class Item:
    """One thing in a scene. `x`, `y` are where its centre should be (0..1 of width and height), `size` is the side of
    its square in pixels, `colour` a name in COLOURS or "" (the glyph's own)."""

    thing: Thing
    x: float
    y: float
    size: int
    word: str = ""
    colour: str = ""

    def square(self, width: int, height: int) -> tuple[int, int, int]:
        """Left, top and side of the thing's square in a picture of width x height: on the grid, and inside. In a
        picture that is large both ways it is a size larger."""
        side = self.size + (CELL if roomy(width, height) else 0)
        return _snapped(self.x, width, side), _snapped(self.y, height, side), side


def roomy(width: int, height: int) -> bool:
    """Whether a picture of width x height is so large both ways that things are a size larger in it."""
    return min(width, height) >= 384


def _snapped(share: float, length: int, side: int) -> int:
    cell = round((share * length - side / 2) / CELL) * CELL
    return max(0, min(cell, length - side))


@dataclass(frozen=True)
class Scene:
    """Items before a background: a key of PLACES, or a colour's name for a plain one. `time` may be "".

    Two items stand from left to right, or one above the other where `column` is set; three stand in a triangle.
    `style` is a key of STYLES or "".
    """

    items: tuple[Item, ...]
    place: str
    time: str
    detail: int
    """Seeds the background's own little accidents: hills, waves, stars."""
    style: str = ""
    column: bool = False

    @property
    def kind(self) -> Kind:
        """One thing, two different ones, two or three alike, or some of four different ones."""
        names = {item.thing.name for item in self.items}
        return "crowd" if len(names) > 2 else "pair" if len(names) > 1 else "alike" if len(self.items) > 1 else "one"


def standing(scene: Scene, size: tuple[int, int], columns: int, rows: int) -> list[list[Thing | None]]:
    """What stands at the middle of each cell, a list a row, where a picture of `size` is cut into columns x rows."""
    found: list[list[Thing | None]] = [[None] * columns for _ in range(rows)]
    for item in scene.items:
        left, top, side = item.square(*size)
        for row in range(rows):
            for column in range(columns):
                x, y = (column + 0.5) * size[0] / columns, (row + 0.5) * size[1] / rows
                if left <= x < left + side and top <= y < top + side:
                    found[row][column] = item.thing
    return found


def held_back(thing: Thing, place: str) -> bool:
    """True for one in twelve pairs of thing and place, the same ones on every machine."""
    return _one_in_twelve(thing.name, place)


def pair_held_back(one: Thing, other: Thing) -> bool:
    """True for one in twelve pairs of things, whichever comes first."""
    return _one_in_twelve(*sorted((one.name, other.name)))


def style_held_back(thing: Thing, style: str) -> bool:
    """True for one in twelve pairs of thing and style; never for no style."""
    return bool(style) and _one_in_twelve(thing.name, style)


def never_drawn(scene: Scene) -> bool:
    """True where the scene shows any combination that is held back."""
    things = [item.thing for item in scene.items]
    return any(held_back(thing, scene.place) or style_held_back(thing, scene.style) for thing in things) or any(
        one != other and pair_held_back(one, other) for one, other in combinations(things, 2)
    )


def _one_in_twelve(*words: str) -> bool:
    return zlib.crc32("|".join(words).encode()) % 12 == 0


def sample(
    rng: Random,
    things: Sequence[Thing] = THINGS,
    allow_held_back: bool = False,
    kind: Kind | None = None,
    settled: bool = False,
    mix: Mix = USUAL,
) -> Scene:
    """A random scene: mostly one thing, often two different ones beside or above each other, sometimes two or three
    alike; `kind` asks for one of these. Things stand here and there or, `settled`, where a caption lets one expect
    them, always the same place.

    Of very few things all pairs or crowds may be held back; then it is one thing."""
    refused = 0
    while True:
        place = rng.choice(list(PLACES)) if rng.random() < 0.72 else rng.choice(list(COLOURS))
        bare = place == "space" or place in COLOURS
        time = "" if bare else rng.choice(OUTDOOR_TIMES)
        style = rng.choice(list(STYLES)) if rng.random() < mix.styled else ""
        column = rng.random() < 0.35
        shown = kind or rng.choices(("one", "pair", "alike"), mix.kinds)[0]
        if refused > 50:
            shown = "one"
        if settled and shown == "alike":
            column = False  # no caption tells how alike things stand
        items = _items(rng, things, shown, column, settled, mix)
        if style in COLOURLESS:
            items = tuple(replace(item, colour="") for item in items)
        scene = Scene(items, place, time, rng.randrange(2**31), style, column and len(items) == 2)
        if allow_held_back or not never_drawn(scene):
            return scene
        refused += 1


def _items(rng: Random, things: Sequence[Thing], kind: str, column: bool, settled: bool, mix: Mix) -> tuple[Item, ...]:
    if kind == "one" or len(things) < 2:
        return (_one(rng, rng.choice(things), settled, mix),)
    if kind == "crowd" and len(things) > 3:
        return _crowd(rng, rng.sample(things, 4), mix)
    if kind in ("pair", "crowd"):
        return _group(rng, rng.sample(things, 2), column, settled, mix)
    return _group(rng, [rng.choice(things)] * rng.choice((2, 3)), column, settled, mix)


def _one(rng: Random, thing: Thing, settled: bool, mix: Mix) -> Item:
    word = rng.choices(tuple(SIZES), mix.sized)[0]
    colour = _paint(rng, thing, mix.painted[0])
    x, y = (0.5, 0.56) if settled else (0.5 + rng.uniform(-0.2, 0.2), 0.5 + rng.uniform(-0.13, 0.13))
    return Item(thing, x, y, SIZES[word], word, colour)


def _paint(rng: Random, thing: Thing, share: float) -> str:
    return rng.choice(list(COLOURS)) if thing.name in PAINTABLE and rng.random() < share else ""


def _group(rng: Random, things: Sequence[Thing], column: bool, settled: bool, mix: Mix) -> tuple[Item, ...]:
    """Two things beside or above each other, or three in a triangle, of one size."""
    colours = [_paint(rng, thing, mix.painted[1]) for thing in things]
    if things.count(things[0]) > 1:
        colours = [colours[0]] * len(things)
    loose = 0.0 if settled else 1.0
    across = loose * rng.uniform(-0.08, 0.08)
    middles = [(0.5 + across, 0.25), (0.5 + across, 0.75)] if column else [(0.25, 0.58 + across), (0.75, 0.58 + across)]
    if len(things) == 3:
        middles = [(0.5, 0.25), (0.25, 0.76), (0.75, 0.76)]
    return tuple(
        Item(thing, x + loose * rng.uniform(-0.05, 0.05), y + loose * rng.uniform(-0.05, 0.05), SIZES[""], "", colour)
        for thing, (x, y), colour in zip(things, middles, colours, strict=True)
    )


def _crowd(rng: Random, things: Sequence[Thing], mix: Mix) -> tuple[Item, ...]:
    """Four things in a square, a big one with three kinds of small ones along two of its sides, or small ones all over:
    a small thing in a picture of its own is so little of it that a decoder hardly learns any. There is no space for
    all of them where a picture is `roomy`."""
    colours = {thing: _paint(rng, thing, mix.painted[0]) for thing in things}
    square, along, _ = mix.crowds
    layout = rng.random()
    if layout < square:
        cells = [(thing, x, y, "") for thing, (x, y) in zip(things, _SQUARE, strict=True)]
    elif layout < square + along:
        x, y = rng.choice((0.375, 0.625)), rng.choice((0.375, 0.625))
        beside, below = (0.875 if x < 0.5 else 0.125), (0.875 if y < 0.5 else 0.125)
        free = [(beside, across) for across in _ACROSS] + [(across, below) for across in _ACROSS if across != beside]
        cells = [(things[0], x, y, "big"), *_strewn(rng, things[1:], free)]
    else:
        cells = _strewn(rng, things, [(x, y) for x in _ACROSS for y in _ACROSS])
    return tuple(Item(thing, x, y, SIZES[word], word, colours[thing]) for thing, x, y, word in cells)


def _strewn(
    rng: Random, things: Sequence[Thing], middles: Sequence[tuple[float, float]]
) -> list[tuple[Thing, float, float, str]]:
    """Small things at all `middles`, each of them at least once."""
    shown = [*things, *rng.choices(things, k=len(middles) - len(things))]
    rng.shuffle(shown)
    return [(thing, x, y, "small") for thing, (x, y) in zip(shown, middles, strict=True)]
