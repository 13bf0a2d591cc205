"""Scenes and what people would say of them.

`sample` makes a scene at random (a description, not a picture), `caption` puts one into words, differently each time.
Some combinations are held back: `sample` never draws them, so that they measure what it can put together anew.

Does not know pictures, files or networks.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from wuerst_demo.training.things import COLOURS, PLACES, THINGS, TIMES, Thing

World = Literal["full", "plain"]
SIZES = {"small": (0.26, 0.34), "": (0.45, 0.66), "big": (0.74, 0.88)}
"""Size word -> least and most height of the thing, as a share of the picture's shorter side."""


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
    """Items before a background: a key of PLACES, or a colour's name for a plain one. `time` may be ""."""

    items: tuple[Item, ...]
    place: str
    time: str
    detail: int
    """Seeds the background's own little accidents: hills, waves, stars."""


def held_back(thing: Thing, place: str) -> bool:
    """True for one in twelve pairs of thing and place, the same ones on every machine."""
    return zlib.crc32(f"{thing.name}|{place}".encode()) % 12 == 0


def sample(
    rng: Random, things: Sequence[Thing] = THINGS, allow_held_back: bool = False, world: World = "full"
) -> Scene:
    """A random scene: mostly one thing, sometimes two different ones side by side, sometimes two or three alike.

    In the "plain" world it is always one thing, as the font has it, at one size in one place.
    """
    kind = rng.random() if world == "full" else 0.0
    items: tuple[Item, ...]
    while True:
        place = rng.choice(list(PLACES)) if rng.random() < 0.72 else rng.choice(list(COLOURS))
        time = "" if place == "space" or place in COLOURS else rng.choice(("day", "day", "night", "sunset"))
        if kind < 0.74:
            items = (_one(rng, rng.choice(things)) if world == "full" else _plain(rng.choice(things)),)
        elif kind < 0.92:
            items = _row(rng, rng.sample(things, 2))
        else:
            items = _row(rng, [rng.choice(things)] * rng.choice((2, 3)))
        if allow_held_back or not any(held_back(item.thing, place) for item in items):
            return Scene(items, place, time, rng.randrange(2**31))


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


def _plain(thing: Thing) -> Item:
    return Item(thing, 0.5, 0.56, 0.68)


def _row(rng: Random, things: Sequence[Thing]) -> tuple[Item, ...]:
    """Things from left to right, of about one size."""
    share = 1 / len(things)
    size = rng.uniform(0.8, 0.95) * share
    y = 0.58 + rng.uniform(-0.06, 0.06)
    colours = [rng.choice(list(COLOURS)) if rng.random() < 0.15 else "" for _ in things]
    if things.count(things[0]) > 1:
        colours = [colours[0]] * len(things)
    return tuple(
        Item(thing, share * (k + 0.5) + rng.uniform(-0.02, 0.02), y, size, "", colours[k], rng.random() < 0.25)
        for k, thing in enumerate(things)
    )


def caption(scene: Scene, rng: Random, fillers: Sequence[str] = ()) -> str:
    """One of the many ways to describe `scene`. `fillers` are words without a meaning here, strewn in now and then so
    that an unknown word in a prompt is no disturbance."""
    what = _what(scene, rng)
    where = _where(scene, rng)
    when = rng.choice(TIMES[scene.time]) if scene.time and (scene.time != "day" or rng.random() < 0.4) else ""
    if rng.random() < 0.15:
        plain_time = scene.time if scene.time != "day" else ""
        text = ", ".join(part for part in (what, _place_word(scene, rng), plain_time) if part)
    elif rng.random() < 0.12 and when:
        text = f"{when}, {what} {where}".strip()
    else:
        text = " ".join(part for part in (what, where, when) if part)
    if rng.random() < 0.12:
        text = rng.choice(("a picture of ", "an image of ", "a drawing of ", "there is ", "a photo of ", "")) + text
    if rng.random() < 0.12:
        text = rng.choice((text.capitalize(), text.upper(), text + ".", text + "!", text.title()))
    if fillers and rng.random() < 0.15:
        words = text.split(" ")
        for _ in range(rng.choice((1, 1, 2, 3))):
            words.insert(rng.randrange(len(words) + 1), rng.choice(fillers))
        text = " ".join(words)
    return text


def _what(scene: Scene, rng: Random) -> str:
    first = scene.items[0]
    if len(scene.items) > 1 and first.thing == scene.items[1].thing:
        number = {2: ("two", "2", "a pair of"), 3: ("three", "3")}[len(scene.items)]
        return " ".join(
            part for part in (rng.choice(number), first.colour, _plural(rng.choice(first.thing.names))) if part
        )
    phrases = [_phrase(item, rng) for item in scene.items]
    if len(phrases) == 1:
        return phrases[0]
    left, right = phrases
    return rng.choice(
        (
            f"{left} and {right}",
            f"{left} to the left of {right}",
            f"{left} left of {right}",
            f"{right} to the right of {left}",
            f"{right} right of {left}",
            f"{left} next to {right}",
            f"{left} with {right}",
            f"{left} on the left and {right} on the right",
        )
    )


def _phrase(item: Item, rng: Random) -> str:
    name = item.thing.name if rng.random() < 0.6 else rng.choice(item.thing.names)
    size = rng.choice({"small": ("small", "little", "tiny"), "big": ("big", "large", "huge")}.get(item.word, ("",)))
    words = " ".join(part for part in (size, item.colour, name) if part)
    article = rng.random()
    if article < 0.72:
        return f"{'an' if words[0] in 'aeiou' and not words.startswith('uni') else 'a'} {words}"
    return f"the {words}" if article < 0.82 else words


def _plural(name: str) -> str:
    if name.startswith("slice"):
        return name.replace("slice", "slices")
    if name in ("sheep", "fish", "cattle"):
        return name
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    if name.endswith("man"):
        return name[:-3] + "men"
    return name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")


def _where(scene: Scene, rng: Random) -> str:
    if scene.place in PLACES:
        return rng.choice(PLACES[scene.place])
    colour = scene.place
    article = "an" if colour[0] in "aeiou" else "a"
    return rng.choice(
        (
            f"on {article} {colour} background",
            f"on {colour}",
            f"in front of {article} {colour} wall",
            f"{colour} background",
        )
    )


def _place_word(scene: Scene, rng: Random) -> str:
    return scene.place if scene.place in PLACES else rng.choice((f"{scene.place} background", scene.place))
