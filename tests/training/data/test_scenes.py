"""Scenes: their kinds, layouts and distribution, and the combinations that are held back."""

from collections import Counter
from itertools import combinations
from random import Random

import pytest

from wuerst_demo.training.data.scenes import (
    GRID_PX,
    MONOCHROME_STYLES,
    Item,
    Mix,
    Scene,
    is_combination_held_back,
    is_held_back,
    is_large,
    is_pair_held_back,
    sample_scene,
    thing_grid,
)
from wuerst_demo.training.data.vocabulary import COLOURS, PAINTABLE, PLACES, STYLES, THINGS

BY_NAME = {thing.name: thing for thing in THINGS}
CAT, DOG = BY_NAME["cat"], BY_NAME["dog"]


def test_training_scenes_contain_nothing_that_is_held_back():
    rng = Random(1)
    made = [sample_scene(rng, kind=rng.choice((None, "crowd"))) for _ in range(5000)]
    for scene in made:
        for item in scene.items:
            assert not is_combination_held_back(item.thing.name, scene.place)
            assert not scene.style or not is_combination_held_back(item.thing.name, scene.style)
        for one, other in combinations({item.thing for item in scene.items}, 2):
            assert not is_pair_held_back(one, other)


def test_scenes_with_held_back_combinations_can_be_requested():
    rng = Random(1)
    assert any(is_held_back(sample_scene(rng, allow_held_back=True)) for _ in range(100))


@pytest.mark.parametrize(
    "shares",
    [
        [is_combination_held_back(thing.name, place) for thing in THINGS for place in (*PLACES, *COLOURS)],
        [is_pair_held_back(*pair) for pair in combinations(THINGS, 2)],
        [is_combination_held_back(thing.name, style) for thing in THINGS for style in STYLES],
    ],
    ids=["places", "pairs", "styles"],
)
def test_few_combinations_are_held_back(shares):
    assert 0.05 < sum(shares) / len(shares) < 0.12


def test_a_pair_is_held_back_in_either_order():
    assert all(
        is_pair_held_back(one, other) == is_pair_held_back(other, one) for one, other in combinations(THINGS[:40], 2)
    )


def test_every_kind_of_scene_has_its_number_of_things():
    rng = Random(3)
    for _ in range(300):
        assert len(sample_scene(rng, kind="one").items) == 1
        first, second = sample_scene(rng, kind="pair").items
        assert first.thing != second.thing
        alike = sample_scene(rng, kind="alike").items
        assert 2 <= len(alike) <= 3
        assert len({item.thing for item in alike}) == 1
        assert len({item.thing for item in sample_scene(rng, kind="crowd").items}) == 4


def test_the_kind_of_a_scene_is_the_requested_one():
    rng = Random(6)
    for kind in ("one", "pair", "alike", "crowd"):
        assert all(sample_scene(rng, kind=kind).kind == kind for _ in range(50))


def test_crowds_have_many_small_things_and_big_ones():
    rng = Random(9)
    items = [item for _ in range(400) for item in sample_scene(rng, kind="crowd").items]
    words = Counter(item.word for item in items)
    assert words["small"] > 4 * words[""] > 0
    assert words["big"] > 400 * 0.35


def all_painted(scene: Scene) -> bool:
    return scene.style in MONOCHROME_STYLES or all(bool(i.colour) == (i.thing.name in PAINTABLE) for i in scene.items)


def test_a_mix_sets_the_distribution_of_scenes():
    usual = [sample_scene(Random(k)) for k in range(600)]
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
        assert all(holds(sample_scene(Random(k), mix=mix)) for k in range(100)), mix
        assert not all(map(holds, usual)), mix
    assert all(all_painted(sample_scene(Random(k), kind="crowd", mix=Mix(painted=(1, 0), styled=0))) for k in range(20))


def test_only_paintable_things_are_painted():
    items = [item for k in range(600) for item in sample_scene(Random(k), kind="crowd", mix=Mix(styled=0)).items]
    painted = {item.thing.name for item in items if item.colour}
    assert {"car", "cat"} <= painted <= PAINTABLE
    assert {item.thing.name for item in items} - PAINTABLE


def test_a_crowd_of_fewer_than_four_things_is_a_pair():
    assert sample_scene(Random(1), THINGS[:3], kind="crowd").kind == "pair"


def test_a_single_thing_is_the_fallback_if_all_else_is_held_back():
    pair = next((one, other) for one, other in combinations(THINGS, 2) if is_pair_held_back(one, other))
    few = (*pair, *[thing for thing in THINGS if thing not in pair][:2])
    assert {sample_scene(Random(seed), few, kind="crowd").kind for seed in range(20)} == {"one"}
    assert {sample_scene(Random(seed), pair, kind="pair").kind for seed in range(20)} == {"one"}


def test_things_are_on_the_grid_inside_the_image_and_do_not_overlap():
    rng = Random(4)
    for _ in range(500):
        scene = sample_scene(rng, kind=rng.choice((None, "crowd")))
        for width, height in ((256, 256), (384, 256), (256, 384), (384, 384)):
            if is_large(width, height) and scene.kind == "crowd":
                continue  # no dataset has these
            squares = [item.square(width, height) for item in scene.items]
            for left, top, side in squares:
                assert left % GRID_PX == top % GRID_PX == side % GRID_PX == 0
                assert 0 <= left <= width - side
                assert 0 <= top <= height - side
            for (x, y, side), (left, top, other) in combinations(squares, 2):
                assert x + side <= left or left + other <= x or y + side <= top or top + other <= y, scene


def test_the_thing_grid_has_the_thing_at_each_cells_centre():
    scene = Scene((Item(CAT, 0.25, 0.5, 128), Item(DOG, 0.75, 0.5, 128)), "blue", "", 1)
    assert [item.square(256, 256) for item in scene.items] == [(0, 64, 128), (128, 64, 128)]
    assert thing_grid(scene, (256, 256), 4, 4) == [[None] * 4, [CAT, CAT, DOG, DOG], [CAT, CAT, DOG, DOG], [None] * 4]


def stated_layouts():
    """Scenes of a fixed layout, by what a caption states of it."""
    rng, scenes = Random(7), {}
    for _ in range(900):
        scene = sample_scene(rng, fixed_layout=True)
        stated = (scene.kind, len(scene.items), scene.items[0].word, scene.column)
        scenes.setdefault(stated, []).append(scene)
    return scenes


def test_a_fixed_layout_follows_from_what_a_caption_states_and_from_one_shift():
    scenes = stated_layouts()
    assert len(scenes) == 3 + 2 + 2  # one thing at three sizes, a row or a column of two, two or three alike
    for (_, count, _, column), alike in scenes.items():
        offsets = {
            tuple((i.x - alike[0].items[k].x, i.y - alike[0].items[k].y) for k, i in enumerate(s.items)) for s in alike
        }
        assert all(max(each) - min(each) < 1e-9 for offset in offsets for each in zip(*offset, strict=True))
        moved = [len({round(each[0][axis], 9) for each in offsets}) > 1 for axis in (0, 1)]
        assert moved == [count == 1 or column, count == 1 or (count == 2 and not column)]


def test_a_greater_shift_is_further_to_the_right_and_down():
    for alike in stated_layouts().values():
        for axis in (0, 1):
            by_shift = [s.items[0].square(256, 256)[axis] for s in sorted(alike, key=lambda s: s.shift[axis])]
            assert by_shift == sorted(by_shift)


def test_a_single_thing_is_at_several_places_about_as_often():
    rng = Random(9)
    found = [sample_scene(rng, kind="one", fixed_layout=True).items[0] for _ in range(1500)]
    places = Counter(item.square(256, 256)[0] for item in found if item.size == 128)
    assert sorted(places) == [0, 64, 128]
    assert min(places.values()) > 0.25 * sum(places.values())


def test_other_layouts_vary():
    rng = Random(8)
    middles = {sample_scene(rng, kind="one").items[0].square(256, 256) for _ in range(200)}
    assert len(middles) > 6


@pytest.mark.parametrize("fixed", [False, True])
def test_two_things_keep_their_order_on_the_grid(fixed):
    rng = Random(5)
    for _ in range(300):
        scene = sample_scene(rng, kind="pair", fixed_layout=fixed)
        first, second = (item.square(256, 256)[scene.column] for item in scene.items)
        assert first < second


def test_pairs_vary_by_a_twentieth_around_their_centres():
    rng = Random(5)
    scenes = [scene for scene in (sample_scene(rng, kind="pair") for _ in range(300)) if not scene.column]
    offsets = [abs(item.x - (0.25 if item.x < 0.5 else 0.75)) for scene in scenes for item in scene.items[:2]]
    assert 0.03 < max(offsets) <= 0.05 + 1 / 64
