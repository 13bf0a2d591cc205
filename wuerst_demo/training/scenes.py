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

from wuerst_demo.training.things import COLOURS, PLACES, PLAIN_TIMES, STYLES, THINGS, TIMES, Thing

World = Literal["full", "plain"]
Kind = Literal["one", "pair", "alike"]
SIZES = {"small": (0.26, 0.34), "": (0.45, 0.66), "big": (0.74, 0.88)}
"""Size word -> least and most height of the thing, as a share of the picture's shorter side."""
COLOURLESS = ("pencil sketch", "black and white", "neon")
"""Styles in which a painted thing cannot be told from another."""
OUTDOOR_TIMES = ("day", "day", "day", *(time for time in TIMES if time != "day"))


@dataclass(frozen=True)
class Item:
    """One thing in a scene. `x`, `y` are its centre (0..1 of width and height), `size` its height (a share of the
    shorter side), `colour` a name in COLOURS or "" (the glyph's own), `turned` mirrors the glyph."""

    thing: Thing
    x: float
    y: float
    size: float
    word: str = ""
    colour: str = ""
    turned: bool = False


@dataclass(frozen=True)
class Scene:
    """Items before a background: a key of PLACES, or a colour's name for a plain one. `time` may be "".

    Two or three items stand from left to right, or one above the other where `column` is set. `style` is a key of
    STYLES or "".
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
    world: World = "full",
    kind: Kind | None = None,
) -> Scene:
    """A random scene: mostly one thing, often two different ones beside or above each other, sometimes two or three
    alike; `kind` asks for one of these.

    In the "plain" world it is always one thing, as the font has it, at one size in one place, in no style.
    """
    while True:
        place = rng.choice(list(PLACES)) if rng.random() < 0.72 else rng.choice(list(COLOURS))
        bare = place == "space" or place in COLOURS
        if world == "plain":
            time = "" if bare else rng.choice(("day", *PLAIN_TIMES))
            scene = Scene((Item(rng.choice(things), 0.5, 0.56, 0.68),), place, time, rng.randrange(2**31))
        else:
            time = "" if bare else rng.choice(OUTDOOR_TIMES)
            style = rng.choice(list(STYLES)) if rng.random() < 0.3 else ""
            column = rng.random() < 0.35
            items = _items(rng, things, kind or rng.choices(("one", "pair", "alike"), (0.58, 0.28, 0.14))[0], column)
            if style in COLOURLESS:
                items = tuple(replace(item, colour="") for item in items)
            scene = Scene(items, place, time, rng.randrange(2**31), style, column and len(items) > 1)
        if allow_held_back or not never_drawn(scene):
            return scene


def _items(rng: Random, things: Sequence[Thing], kind: str, column: bool) -> tuple[Item, ...]:
    if kind == "one" or len(things) < 2:
        return (_one(rng, rng.choice(things)),)
    if kind == "pair":
        return _line(rng, rng.sample(things, 2), column)
    return _line(rng, [rng.choice(things)] * rng.choice((2, 3)), column)


def _one(rng: Random, thing: Thing) -> Item:
    word = rng.choices(tuple(SIZES), (0.12, 0.74, 0.14))[0]
    size = rng.uniform(*SIZES[word])
    spread = (1 - size) * 0.22
    return Item(
        thing,
        0.5 + rng.uniform(-spread, spread),
        0.56 + rng.uniform(-spread, spread) * 0.6,
        size,
        word,
        rng.choice(list(COLOURS)) if rng.random() < 0.2 else "",
        rng.random() < 0.25,
    )


def _line(rng: Random, things: Sequence[Thing], column: bool) -> tuple[Item, ...]:
    """Things from left to right, or from top to bottom, of about one size."""
    share = 1 / len(things)
    size = rng.uniform(0.8, 0.95) * share
    across = (0.5 if column else 0.58) + rng.uniform(-0.06, 0.06)
    colours = [rng.choice(list(COLOURS)) if rng.random() < 0.15 else "" for _ in things]
    if things.count(things[0]) > 1:
        colours = [colours[0]] * len(things)
    along = [share * (k + 0.5) + rng.uniform(-0.02, 0.02) for k in range(len(things))]
    return tuple(
        Item(
            thing,
            across if column else at,
            at if column else across,
            size,
            "",
            colour,
            rng.random() < 0.25,
        )
        for thing, at, colour in zip(things, along, colours, strict=True)
    )
