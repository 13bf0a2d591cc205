"""What the cocktail is shown, and what it is told about it."""

from random import Random

import numpy as np
import pytest

from wuerst_demo.training.drawing import FONT, draw
from wuerst_demo.training.scenes import Item, Scene, caption, held_back, sample
from wuerst_demo.training.things import COLOURS, PLACES, THINGS

needs_font = pytest.mark.skipif(not FONT.exists(), reason="needs Debian's fonts-noto-color-emoji")
BY_NAME = {thing.name: thing for thing in THINGS}


def test_held_back_combinations_are_never_drawn_for_training():
    rng = Random(1)
    drawn = [sample(rng) for _ in range(5000)]
    assert not [scene for scene in drawn for item in scene.items if held_back(item.thing, scene.place)]


def test_held_back_combinations_exist_and_are_few():
    pairs = [(thing, place) for thing in THINGS for place in (*PLACES, *COLOURS)]
    share = sum(held_back(*pair) for pair in pairs) / len(pairs)
    assert 0.05 < share < 0.12


def test_every_name_belongs_to_one_thing_only():
    names = [name for thing in THINGS for name in thing.names]
    assert len(names) == len(set(names))


def test_a_caption_names_every_thing_in_the_scene():
    rng = Random(2)
    for _ in range(500):
        scene = sample(rng)
        text = caption(scene, rng).lower()
        for item in scene.items:
            # the plural of "puppy" is "puppies": the stem has to be there
            assert any(name[:-1] in text or name[:-3] in text for name in item.thing.names), text


def test_the_left_thing_is_said_to_be_left():
    cat, dog = BY_NAME["cat"], BY_NAME["dog"]
    scene = Scene((Item(cat, 0.25, 0.5, 0.4), Item(dog, 0.75, 0.5, 0.4)), "grass", "day", 1)
    for seed in range(200):
        text = caption(scene, Random(seed)).lower()
        left = min(text.find(name) for name in cat.names if name in text)
        right = min(text.find(name) for name in dog.names if name in text)
        if "left of" in text or "on the left and" in text:
            assert left < right, text
        if "right of" in text:
            assert right < left, text


@needs_font
def test_every_thing_has_a_glyph_and_is_drawn_before_its_background():
    for thing in THINGS:
        bare = Scene((), "blue", "", 1)
        scene = Scene((Item(thing, 0.5, 0.5, 0.6),), "blue", "", 1)
        picture = draw(scene, 256, 256)
        assert picture.size == (256, 256)
        changed = (np.asarray(picture) != np.asarray(draw(bare, 256, 256))).any(-1).sum()
        assert changed > 3000, thing.name


@needs_font
def test_the_same_scene_is_drawn_the_same_at_every_time():
    scene = sample(Random(7))
    assert draw(scene, 384, 256).tobytes() == draw(scene, 384, 256).tobytes()
