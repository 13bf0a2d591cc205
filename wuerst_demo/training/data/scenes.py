"""Scenes: random descriptions of what an image shows, independent of wording (`captions`) and pixels (`render`).

`sample_scene` never returns combinations that are held back, so that the evaluation can measure generalisation.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random
from typing import Literal

from wuerst_demo.training.data.vocabulary import COLOURS, PAINTABLE, PLACES, STYLES, THINGS, TIMES, Thing

Kind = Literal["one", "pair", "alike", "crowd"]
"""One thing, two different ones, two or three of the same, or four different ones."""
GRID_PX = 64
"""Things are aligned to the positions of the decoder's coarsest level, so that a thing looks the same everywhere.
Without the grid there was more to learn, and edges stayed soft."""
SIZES_PX = {"small": 64, "": 128, "big": 192}  #: Size word -> side of the square around a thing.
MONOCHROME_STYLES = ("pencil sketch", "black and white", "neon")  #: Styles that hide the colour of a thing.
_SQUARE_CENTRES = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
_CELL_CENTRES = (0.125, 0.375, 0.625, 0.875)  #: Centres of the grid cells of 256 pixels, as a share of them.
SHIFT_X, SHIFT_Y = (-0.374, 0.374), (-0.18, 0.2)
"""How far a shift may move things, as a share of the image's width and height."""
SMALL_SHIFT_X = 2 / 3  #: How far small things are moved sideways, relative to others: to fewer places to be learned.
OUTDOOR_TIMES = ("day", "day", "day", *(time for time in TIMES if time != "day"))


@dataclass(frozen=True)
class Mix:
    """The distribution of scenes. The defaults are the distribution of the evaluation."""

    kinds: tuple[float, float, float] = (0.44, 0.4, 0.16)  #: Shares of the kinds "one", "pair" and "alike".
    sized: tuple[float, float, float] = (0.15, 0.62, 0.23)
    """Shares of single things that are small, of normal size, and big."""
    painted: tuple[float, float] = (0.4, 0.25)
    """Shares of PAINTABLE things in a colour of COLOURS: alone or in a crowd, and in groups of two or three."""
    styled: float = 0.28  #: Share of scenes in a style.
    crowds: tuple[float, float, float] = (0.3, 0.45, 0.25)
    """Shares of the crowd layouts: four in a square, a big one with small ones beside it, small ones everywhere."""


DEFAULT_MIX = Mix()


@dataclass(frozen=True)
class Item:
    """One thing in a scene."""

    thing: Thing
    x: float  #: Intended centre, 0..1 of the image's width.
    y: float  #: Intended centre, 0..1 of the image's height.
    size: int  #: Side of its square in pixels.
    word: str = ""  #: Its size as a key of SIZES_PX.
    colour: str = ""  #: A key of COLOURS, or "" for the glyph's own colours.

    def square(self, width: int, height: int) -> tuple[int, int, int]:
        """Left, top and side in pixels of the thing's square in an image: aligned to the grid, inside the image, and
        one grid cell larger in an image that `is_large`."""
        side = self.size + (GRID_PX if is_large(width, height) else 0)
        left, top = (
            max(0, min(round((share * length - side / 2) / GRID_PX) * GRID_PX, length - side))
            for share, length in ((self.x, width), (self.y, height))
        )
        return left, top, side


def is_large(width: int, height: int) -> bool:
    """Whether both sides of an image are so long that its things are a size larger."""
    return min(width, height) >= 384


@dataclass(frozen=True)
class Scene:
    """Things in front of a background."""

    items: tuple[Item, ...]  #: Two from left to right, or from top to bottom if `column`; three in a triangle.
    place: str  #: A key of PLACES, or of COLOURS for a plain background.
    time: str  #: A key of TIMES, or "".
    detail: int  #: Seed of the background's details: hills, waves, stars.
    style: str = ""  #: A key of STYLES, or "".
    column: bool = False
    shift: tuple[float, float] = (0.5, 0.5)
    """How far to the right and down all things were moved together, as shares 0..1 of what is possible."""

    @property
    def kind(self) -> Kind:
        """Derived from the items."""
        names = {item.thing.name for item in self.items}
        return "crowd" if len(names) > 2 else "pair" if len(names) > 1 else "alike" if len(self.items) > 1 else "one"


def thing_grid(scene: Scene, size: tuple[int, int], columns: int, rows: int) -> list[list[Thing | None]]:
    """The thing at the centre of each cell, row by row, of an image of `size` (width, height) cut into cells."""
    squares = [(item.thing, *item.square(*size)) for item in reversed(scene.items)]

    def find(x: float, y: float) -> Thing | None:
        covering = (each for each, left, top, side in squares if left <= x < left + side and top <= y < top + side)
        return next(covering, None)

    xs = [(column + 0.5) * size[0] / columns for column in range(columns)]
    ys = [(row + 0.5) * size[1] / rows for row in range(rows)]
    return [[find(x, y) for x in xs] for y in ys]


def is_combination_held_back(*words: str) -> bool:
    """True for one in twelve combinations of words, the same ones on every machine."""
    return zlib.crc32("|".join(words).encode()) % 12 == 0


def is_pair_held_back(one: Thing, other: Thing) -> bool:
    """Whether two things are never shown together, in either order."""
    return is_combination_held_back(*sorted((one.name, other.name)))


def is_held_back(scene: Scene) -> bool:
    """Whether the scene contains a thing and a place, a thing and a style, or two things that are held back."""
    things, settings = [item.thing for item in scene.items], [each for each in (scene.place, scene.style) if each]
    return any(is_combination_held_back(thing.name, each) for thing in things for each in settings) or any(
        one != other and is_pair_held_back(one, other) for one, other in combinations(things, 2)
    )


def sample_scene(
    rng: Random,
    things: Sequence[Thing] = THINGS,
    allow_held_back: bool = False,
    kind: Kind | None = None,
    fixed_layout: bool = False,
    mix: Mix = DEFAULT_MIX,
) -> Scene:
    """A random scene of the given kind, or of a kind by `mix`.

    With `fixed_layout` the arrangement follows from what a caption states, and `Scene.shift` moves all of it; otherwise
    each position varies. A single thing is the fallback where all pairs or crowds of very few things are held back.
    """
    rejected = 0
    while True:
        place = rng.choice(list(PLACES)) if rng.random() < 0.72 else rng.choice(list(COLOURS))
        bare = place == "space" or place in COLOURS
        time = "" if bare else rng.choice(OUTDOOR_TIMES)
        style = rng.choice(list(STYLES)) if rng.random() < mix.styled else ""
        column = rng.random() < 0.35
        chosen = kind or rng.choices(("one", "pair", "alike"), mix.kinds)[0]
        if rejected > 50:
            chosen = "one"
        if fixed_layout and chosen == "alike":
            column = False  # no caption states how several of the same are arranged
        items = _sample_items(rng, things, chosen, column, fixed_layout, mix)
        if style in MONOCHROME_STYLES:
            items = tuple(replace(item, colour="") for item in items)
        scene = Scene(items, place, time, rng.randrange(2**31), style, column and len(items) == 2)
        if fixed_layout:
            scene = _shift(scene, (rng.random(), rng.random()))
        if allow_held_back or not is_held_back(scene):
            return scene
        rejected += 1


def _shift(scene: Scene, shift: tuple[float, float]) -> Scene:
    """The scene with its things moved together, where they do not fill the image: two beside each other move up and
    down, two above each other sideways, a single one both ways, three not at all."""
    x, y = (low + share * (high - low) for share, (low, high) in zip(shift, (SHIFT_X, SHIFT_Y), strict=True))
    x *= SMALL_SHIFT_X if scene.items[0].word == "small" else 1
    if len(scene.items) == 2:
        x, y = (x, 0.0) if scene.column else (0.0, y)
    elif len(scene.items) > 2:
        x = y = 0.0
    return replace(scene, items=tuple(replace(item, x=item.x + x, y=item.y + y) for item in scene.items), shift=shift)


def _sample_items(
    rng: Random, things: Sequence[Thing], kind: str, column: bool, fixed_layout: bool, mix: Mix
) -> tuple[Item, ...]:
    if kind == "one" or len(things) < 2:
        thing, word = rng.choice(things), rng.choices(tuple(SIZES_PX), mix.sized)[0]
        colour = _sample_colour(rng, thing, mix.painted[0])
        x, y = (0.5, 0.56) if fixed_layout else (0.5 + rng.uniform(-0.2, 0.2), 0.5 + rng.uniform(-0.13, 0.13))
        return (Item(thing, x, y, SIZES_PX[word], word, colour),)
    if kind == "crowd" and len(things) > 3:
        return _crowd(rng, rng.sample(things, 4), mix)
    chosen = [rng.choice(things)] * rng.choice((2, 3)) if kind == "alike" else rng.sample(things, 2)
    return _group(rng, chosen, column, fixed_layout, mix)


def _sample_colour(rng: Random, thing: Thing, share: float) -> str:
    return rng.choice(list(COLOURS)) if thing.name in PAINTABLE and rng.random() < share else ""


def _group(rng: Random, things: Sequence[Thing], column: bool, fixed_layout: bool, mix: Mix) -> tuple[Item, ...]:
    """Two things beside or above each other, or three in a triangle, all of normal size."""
    colours = [_sample_colour(rng, thing, mix.painted[1]) for thing in things]
    if things.count(things[0]) > 1:
        colours = [colours[0]] * len(things)
    jitter = 0.0 if fixed_layout else 1.0
    shift = jitter * rng.uniform(-0.08, 0.08)
    centres = [(0.5 + shift, 0.25), (0.5 + shift, 0.75)] if column else [(0.25, 0.58 + shift), (0.75, 0.58 + shift)]
    if len(things) == 3:
        centres = [(0.5, 0.25), (0.25, 0.76), (0.75, 0.76)]
    items = []
    for thing, (x, y), colour in zip(things, centres, colours, strict=True):
        x, y = x + jitter * rng.uniform(-0.05, 0.05), y + jitter * rng.uniform(-0.05, 0.05)
        items.append(Item(thing, x, y, SIZES_PX[""], "", colour))
    return tuple(items)


def _crowd(rng: Random, things: Sequence[Thing], mix: Mix) -> tuple[Item, ...]:
    """Four things in one of the layouts of `Mix.crowds`; they do not fit into images that are large.

    A single small thing is so little of an image that a decoder hardly learns it; crowds of them teach it.
    """
    colours = {thing: _sample_colour(rng, thing, mix.painted[0]) for thing in things}
    square, beside_big, _ = mix.crowds
    layout = rng.random()
    if layout < square:
        placed = [(t, x, y, "") for t, (x, y) in zip(things, _SQUARE_CENTRES, strict=True)]
    else:
        placed, small = [], list(things)
        centres = [(x, y) for x in _CELL_CENTRES for y in _CELL_CENTRES]
        if layout < square + beside_big:
            x, y = rng.choice((0.375, 0.625)), rng.choice((0.375, 0.625))
            placed.append((small.pop(0), x, y, "big"))
            column, row = (0.875 if x < 0.5 else 0.125), (0.875 if y < 0.5 else 0.125)
            centres = [*((column, each) for each in _CELL_CENTRES), *((x, row) for x in _CELL_CENTRES if x != column)]
        small += rng.choices(small, k=len(centres) - len(small))  # each thing at least once
        rng.shuffle(small)
        placed += [(thing, x, y, "small") for thing, (x, y) in zip(small, centres, strict=True)]
    return tuple(Item(thing, x, y, SIZES_PX[word], word, colours[thing]) for thing, x, y, word in placed)
