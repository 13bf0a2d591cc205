"""What the cocktail is shown: things that exist, combinations that are held back, pictures that say what they are."""

from collections import Counter
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pytest

from wuerst_demo.training.drawing import FONT, draw
from wuerst_demo.training.scenes import (
    CELL,
    COLOURLESS,
    Item,
    Mix,
    Scene,
    held_back,
    never_drawn,
    pair_held_back,
    roomy,
    sample,
    standing,
    style_held_back,
)
from wuerst_demo.training.store import Store
from wuerst_demo.training.styles import restyle
from wuerst_demo.training.things import COLOURS, PAINTABLE, PLACES, STYLES, THINGS, TIMES

needs_font = pytest.mark.skipif(not FONT.exists(), reason="needs Debian's fonts-noto-color-emoji")
BY_NAME = {thing.name: thing for thing in THINGS}
CAT, DOG = BY_NAME["cat"], BY_NAME["dog"]


def test_combinations_that_are_held_back_are_never_made_for_training():
    rng = Random(1)
    made = [sample(rng, kind=rng.choice((None, "crowd"))) for _ in range(5000)]
    for scene in made:
        for item in scene.items:
            assert not held_back(item.thing, scene.place)
            assert not style_held_back(item.thing, scene.style)
        for one, other in combinations({item.thing for item in scene.items}, 2):
            assert not pair_held_back(one, other)


def test_an_evaluation_can_ask_for_what_was_held_back():
    rng = Random(1)
    assert any(never_drawn(sample(rng, allow_held_back=True)) for _ in range(100))


@pytest.mark.parametrize(
    "shares",
    [
        [held_back(thing, place) for thing in THINGS for place in (*PLACES, *COLOURS)],
        [pair_held_back(*pair) for pair in combinations(THINGS, 2)],
        [style_held_back(thing, style) for thing in THINGS for style in STYLES],
    ],
    ids=["places", "pairs", "styles"],
)
def test_held_back_combinations_exist_and_are_few(shares):
    assert 0.05 < sum(shares) / len(shares) < 0.12


def test_a_pair_is_held_back_in_either_order():
    assert all(pair_held_back(one, other) == pair_held_back(other, one) for one, other in combinations(THINGS[:40], 2))


def test_there_are_a_hundred_and_fifty_things_and_every_name_belongs_to_one():
    names = [name for thing in THINGS for name in thing.names]
    assert len(THINGS) >= 150
    assert len(names) == len(set(names))
    assert all(name == name.lower() for name in names)


def test_scenes_have_one_thing_two_things_or_up_to_three_alike():
    rng = Random(3)
    for _ in range(300):
        assert len(sample(rng, kind="one").items) == 1
        first, second = sample(rng, kind="pair").items
        assert first.thing != second.thing
        alike = sample(rng, kind="alike").items
        assert 2 <= len(alike) <= 3
        assert len({item.thing for item in alike}) == 1
        assert len({item.thing for item in sample(rng, kind="crowd").items}) == 4


def test_a_scene_says_what_kind_it_is():
    rng = Random(6)
    for kind in ("one", "pair", "alike", "crowd"):
        assert all(sample(rng, kind=kind).kind == kind for _ in range(50))


def test_crowds_show_big_things_and_small_ones_more_often_than_single_things_do():
    rng = Random(9)
    items = [item for _ in range(400) for item in sample(rng, kind="crowd").items]
    words = Counter(item.word for item in items)
    assert words["small"] > 4 * words[""] > 0
    assert words["big"] > 400 * 0.35


def all_painted(scene: Scene) -> bool:
    return scene.style in COLOURLESS or all(bool(i.colour) == (i.thing.name in PAINTABLE) for i in scene.items)


def test_a_mix_says_how_often_scenes_show_what():
    usual = [sample(Random(k)) for k in range(600)]
    assert {len(scene.items) for scene in usual} == {1, 2, 3}
    assert {scene.items[0].word for scene in usual} == {"small", "", "big"}
    for mix, holds in (
        (Mix(kinds=(0, 1, 0)), lambda scene: scene.kind == "pair"),
        (Mix(kinds=(1, 0, 0), sized=(0, 0, 1)), lambda scene: scene.items[0].word == "big"),
        (Mix(kinds=(1, 0, 0), painted=(1, 0)), all_painted),
        (Mix(kinds=(0, 1, 0), painted=(1, 0)), lambda scene: not any(item.colour for item in scene.items)),
        (Mix(kinds=(0, 0, 1), painted=(0, 1)), all_painted),
        (Mix(styled=1), lambda scene: scene.style),
    ):
        assert all(holds(sample(Random(k), mix=mix)) for k in range(100)), mix
        assert not all(map(holds, usual)), mix
    assert all(all_painted(sample(Random(k), kind="crowd", mix=Mix(painted=(1, 0), styled=0))) for k in range(20))


def test_only_what_comes_in_any_colour_is_painted():
    items = [item for k in range(600) for item in sample(Random(k), kind="crowd", mix=Mix(styled=0)).items]
    painted = {item.thing.name for item in items if item.colour}
    assert {"car", "cat"} <= painted <= PAINTABLE
    assert {item.thing.name for item in items} - PAINTABLE
    assert {thing.name for thing in THINGS} >= PAINTABLE


def test_no_store_has_crowds_where_small_things_are_not_small_enough_for_them(tmp_path: Path):
    store = Store(tmp_path, {(256, 256): 40, (384, 384): 40}, THINGS, crowded=0.5)
    kinds = {size: {store.scene(size, k).kind for k in range(40)} for size in store.counts}
    assert "crowd" in kinds[256, 256]
    assert "crowd" not in kinds[384, 384]


def test_a_crowd_of_fewer_than_four_things_is_a_pair():
    assert sample(Random(1), THINGS[:3], kind="crowd").kind == "pair"


def test_where_every_crowd_is_held_back_it_is_one_thing():
    pair = next((one, other) for one, other in combinations(THINGS, 2) if pair_held_back(one, other))
    few = (*pair, *[thing for thing in THINGS if thing not in pair][:2])
    assert {sample(Random(seed), few, kind="crowd").kind for seed in range(20)} == {"one"}
    assert {sample(Random(seed), pair, kind="pair").kind for seed in range(20)} == {"one"}


def test_things_stand_on_the_grid_inside_the_picture_and_apart_from_each_other():
    rng = Random(4)
    for _ in range(500):
        scene = sample(rng, kind=rng.choice((None, "crowd")))
        for width, height in ((256, 256), (384, 256), (256, 384), (384, 384)):
            if roomy(width, height) and scene.kind == "crowd":
                continue  # no store has these
            squares = [item.square(width, height) for item in scene.items]
            for left, top, side in squares:
                assert left % CELL == top % CELL == side % CELL == 0
                assert 0 <= left <= width - side
                assert 0 <= top <= height - side
            for (x, y, side), (left, top, other) in combinations(squares, 2):
                assert x + side <= left or left + other <= x or y + side <= top or top + other <= y, scene


def test_every_cell_is_told_what_stands_in_its_middle():
    scene = Scene((Item(CAT, 0.25, 0.5, 128), Item(DOG, 0.75, 0.5, 128)), "blue", "", 1)
    assert [item.square(256, 256) for item in scene.items] == [(0, 64, 128), (128, 64, 128)]
    assert standing(scene, (256, 256), 4, 4) == [[None] * 4, [CAT, CAT, DOG, DOG], [CAT, CAT, DOG, DOG], [None] * 4]


def test_settled_things_stand_where_their_words_tell():
    """What a caption cannot tell, it does not leave open: kind, size word, and who is above or left of whom."""
    rng, places = Random(7), {}
    for _ in range(600):
        scene = sample(rng, settled=True)
        told = (scene.kind, len(scene.items), scene.items[0].word, scene.column)
        for width, height in ((256, 256), (384, 256), (384, 384)):
            squares = [item.square(width, height) for item in scene.items]
            places.setdefault((told, width, height), set()).add(tuple(squares))
    assert len(places) == 3 * (3 + 2 + 2)  # one thing at three sizes, a row or a column of two, two or three alike
    assert all(len(found) == 1 for found in places.values())


def test_scenes_that_are_not_settled_have_things_here_and_there():
    rng = Random(8)
    middles = {sample(rng, kind="one").items[0].square(256, 256) for _ in range(200)}
    assert len(middles) > 6


def test_two_things_keep_to_their_sides_wherever_they_snap():
    rng = Random(5)
    for _ in range(300):
        scene = sample(rng, kind="pair")
        first, second = (item.square(256, 256)[scene.column] for item in scene.items)
        assert first < second


@needs_font
def test_every_thing_has_a_glyph_and_is_drawn_before_its_background():
    bare = np.asarray(draw(Scene((), "blue", "", 1), 64, 64))
    seen = set()
    for thing in THINGS:
        picture = draw(Scene((Item(thing, 0.5, 0.5, 64),), "blue", "", 1), 64, 64)
        assert (np.asarray(picture) != bare).any(-1).sum() > 300, thing.name
        seen.add(picture.tobytes())
    assert len(seen) == len(THINGS), "two things look alike"


@needs_font
def test_the_same_scene_is_drawn_the_same_at_every_time():
    scene = sample(Random(7))
    assert draw(scene, 384, 256).tobytes() == draw(scene, 384, 256).tobytes()


@needs_font
@pytest.mark.parametrize("time", TIMES)
def test_every_time_changes_the_sky(time):
    other = "night" if time == "day" else "day"
    skies = [np.asarray(draw(Scene((), "grass", each, 1), 128, 128), float)[:40].mean((0, 1)) for each in (time, other)]
    assert np.abs(skies[0] - skies[1]).max() > 25


@needs_font
class TestStyles:
    picture = staticmethod(lambda: draw(Scene((Item(CAT, 0.5, 0.5, 64),), "beach", "sunset", 1), 128, 128))

    def styled(self, style):
        picture = restyle(self.picture(), style)
        assert (picture.mode, picture.size) == ("RGB", (128, 128))
        return np.asarray(picture, float)

    def test_no_style_leaves_the_picture_as_it_is(self):
        assert restyle(self.picture(), "").tobytes() == self.picture().tobytes()

    def test_pixel_art_has_large_pixels_of_few_colours(self):
        pixels = self.styled("pixel art")
        assert np.array_equal(pixels, pixels[::8, ::8].repeat(8, 0).repeat(8, 1))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) <= 16

    def test_black_and_white_has_no_colour_and_keeps_what_is_light_and_dark(self):
        pixels = self.styled("black and white")
        assert np.array_equal(pixels[..., 0], pixels[..., 2])
        light = np.asarray(self.picture(), float) @ [0.299, 0.587, 0.114]
        assert np.abs(pixels[..., 0] - light).max() < 1.5

    def test_a_pencil_sketch_is_dark_lines_on_white(self):
        pixels = self.styled("pencil sketch")
        assert np.array_equal(pixels[..., 0], pixels[..., 1])
        assert (pixels > 220).mean() > 0.6
        assert (pixels < 128).mean() > 0.005

    def test_a_watercolour_is_paler(self):
        assert self.styled("watercolour").mean() > np.asarray(self.picture(), float).mean() + 15

    def test_neon_is_bright_lines_on_black(self):
        pixels = self.styled("neon").max(-1)
        assert np.median(pixels) < 60
        assert (pixels > 200).mean() > 0.01
