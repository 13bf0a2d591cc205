"""Scenes: what a picture shows, as a description, made at random.

Some combinations are held back: `sample` never makes them, so that they measure what it can put together anew.
Does not know words (see `captions`), pictures, files or networks.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from wuerst_demo.training.things import COLOURS, PLACES, STYLES, THINGS, TIMES, Thing

Kind = Literal["one", "pair", "alike"]
CELL = 32
"""Things stand on a grid of so many pixels: there the decoder's coarsest positions are, and a thing looks the same
wherever it stands. That makes far fewer pictures to be learned; without it, edges stayed soft."""
SIZES = {"small": 64, "": 160, "big": 224}
"""Size word -> pixels of a side of the square that one thing stands in, whatever the picture's size."""
TOGETHER = 96
"""The same for each of several things."""
COLOURLESS = ("pencil sketch", "black and white", "neon")
"""Styles in which a painted thing cannot be told from another."""
OUTDOOR_TIMES = ("day", "day", "day", *(time for time in TIMES if time != "day"))


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

    def corner(self, width: int, height: int) -> tuple[int, int]:
        """Left and top pixel of the thing's square in a picture of width x height: on the grid, and inside."""
        return self._snapped(self.x, width), self._snapped(self.y, height)

    def _snapped(self, share: float, length: int) -> int:
        cell = round((share * length - self.size / 2) / CELL) * CELL
        return max(0, min(cell, length - self.size))


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
        """One thing, two different ones, or two or three alike."""
        names = {item.thing.name for item in self.items}
        return "pair" if len(names) > 1 else "alike" if len(self.items) > 1 else "one"


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
    return any(held_back(thing, scene.place) or style_held_back(thing, scene.style) for thing in things) or (
        scene.kind == "pair" and pair_held_back(things[0], things[1])
    )


def _one_in_twelve(*words: str) -> bool:
    return zlib.crc32("|".join(words).encode()) % 12 == 0


def sample(
    rng: Random,
    things: Sequence[Thing] = THINGS,
    allow_held_back: bool = False,
    kind: Kind | None = None,
) -> Scene:
    """A random scene: mostly one thing, often two different ones beside or above each other, sometimes two or three
    alike; `kind` asks for one of these."""
    while True:
        place = rng.choice(list(PLACES)) if rng.random() < 0.72 else rng.choice(list(COLOURS))
        bare = place == "space" or place in COLOURS
        time = "" if bare else rng.choice(OUTDOOR_TIMES)
        style = rng.choice(list(STYLES)) if rng.random() < 0.3 else ""
        column = rng.random() < 0.35
        items = _items(rng, things, kind or rng.choices(("one", "pair", "alike"), (0.46, 0.34, 0.2))[0], column)
        if style in COLOURLESS:
            items = tuple(replace(item, colour="") for item in items)
        scene = Scene(items, place, time, rng.randrange(2**31), style, column and len(items) == 2)
        if allow_held_back or not never_drawn(scene):
            return scene


def _items(rng: Random, things: Sequence[Thing], kind: str, column: bool) -> tuple[Item, ...]:
    if kind == "one" or len(things) < 2:
        return (_one(rng, rng.choice(things)),)
    if kind == "pair":
        return _group(rng, rng.sample(things, 2), column)
    return _group(rng, [rng.choice(things)] * rng.choice((2, 3)), column)


def _one(rng: Random, thing: Thing) -> Item:
    word = rng.choices(tuple(SIZES), (0.15, 0.68, 0.17))[0]
    colour = rng.choice(list(COLOURS)) if rng.random() < 0.2 else ""
    return Item(thing, 0.5 + rng.uniform(-0.2, 0.2), 0.5 + rng.uniform(-0.13, 0.13), SIZES[word], word, colour)


def _group(rng: Random, things: Sequence[Thing], column: bool) -> tuple[Item, ...]:
    """Two things beside or above each other, or three in a triangle, of one size."""
    colours = [rng.choice(list(COLOURS)) if rng.random() < 0.15 else "" for _ in things]
    if things.count(things[0]) > 1:
        colours = [colours[0]] * len(things)
    across = rng.uniform(-0.08, 0.08)
    middles = [(0.5 + across, 0.26), (0.5 + across, 0.74)] if column else [(0.25, 0.58 + across), (0.75, 0.58 + across)]
    if len(things) == 3:
        middles = [(0.5, 0.26), (0.25, 0.72), (0.75, 0.72)]
    return tuple(
        Item(thing, x + rng.uniform(-0.05, 0.05), y + rng.uniform(-0.05, 0.05), TOGETHER, "", colour)
        for thing, (x, y), colour in zip(things, middles, colours, strict=True)
    )
