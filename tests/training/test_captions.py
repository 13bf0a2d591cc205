"""What the cocktail is told about its pictures: all of it true, in many words."""

from dataclasses import replace
from random import Random

import pytest

from wuerst_demo.training.captions import Say, caption, plural
from wuerst_demo.training.scenes import Item, Scene, sample
from wuerst_demo.training.things import COLOURS, PLACES, STYLES, THINGS, TIMES

BY_NAME = {thing.name: thing for thing in THINGS}
CAT, DOG = BY_NAME["cat"], BY_NAME["dog"]
BESIDE = Scene((Item(CAT, 0.25, 0.5, 128), Item(DOG, 0.75, 0.5, 128)), "grass", "day", 1)
ABOVE = Scene((Item(CAT, 0.5, 0.25, 128), Item(DOG, 0.5, 0.75, 128)), "grass", "day", 1, column=True)


def at(text, thing):
    """Where the text names the thing."""
    return min(text.find(name) for name in thing.names if name in text)


def test_a_caption_names_every_thing_place_and_style_and_the_time_unless_it_is_day():
    rng = Random(2)
    for _ in range(1000):
        scene = sample(rng, kind=rng.choice((None, None, "crowd")))
        text = caption(scene, rng).lower()
        for item in scene.items:
            assert any(name in text or plural(name) in text for name in item.thing.names), text
            assert item.colour in text
        where = (scene.place, *PLACES.get(scene.place, ()))
        assert any(words in text for words in where), text
        if scene.time not in ("", "day"):
            assert any(words in text for words in (scene.time, *TIMES[scene.time])), text
        if scene.style:
            assert any(words in text for words in STYLES[scene.style]), text
            assert "of in " not in text, text


def test_a_crowd_is_told_by_its_things_each_once_however_many_there_are():
    scene = Scene(
        tuple(Item(thing, x, y, 64) for x in (0.2, 0.8) for y, thing in ((0.2, CAT), (0.8, DOG))), "blue", "", 1
    )
    birds = replace(scene, items=(*scene.items, Item(BY_NAME["owl"], 0.5, 0.5, 64), Item(BY_NAME["owl"], 0.5, 0.2, 64)))
    text = caption(birds, Random(1))
    assert sum(text.lower().count(name) for thing in (CAT, DOG, BY_NAME["owl"]) for name in thing.names) == 3, text


def test_the_left_thing_is_said_to_be_left_and_the_right_one_right():
    said = set()
    for seed in range(300):
        text = caption(BESIDE, Random(seed), say=Say(sides=True)).lower()
        if "right of" in text:
            assert at(text, DOG) < at(text, CAT), text
        else:
            assert "left" in text
            assert at(text, CAT) < at(text, DOG), text
        said |= {word for word in ("left", "right") if word in text}
    assert said == {"left", "right"}


def test_the_upper_thing_is_said_to_be_above_and_the_lower_one_below():
    for seed in range(300):
        text = caption(ABOVE, Random(seed), say=Say(sides=True)).lower()
        first, second = (CAT, DOG) if " above " in text or " over " in text else (DOG, CAT)
        assert at(text, first) < at(text, second), text
        assert "left" not in text


def test_sides_can_be_left_out():
    texts = [caption(BESIDE, Random(seed), say=Say(sides=False)).lower() for seed in range(200)]
    assert not [text for text in texts if " left" in text or " right" in text]


def test_things_that_are_only_listed_are_listed_as_one_reads_them():
    for seed in range(200):
        text = caption(BESIDE, Random(seed), say=Say(sides=False)).lower()
        assert at(text, CAT) < at(text, DOG), text


def test_which_thing_is_above_is_always_said():
    for seed in range(200):
        text = caption(ABOVE, Random(seed)).lower()
        assert any(f" {word}" in text for word in ("above", "below", "over", "under")), text


def test_things_can_be_called_by_their_second_names():
    scene = Scene((Item(CAT, 0.5, 0.5, 128),), "blue", "", 1)
    for seed in range(100):
        text = caption(scene, Random(seed), say=Say(second_names=True)).lower()
        assert "kitten" in text or "kitty" in text, text


def test_alike_things_are_counted():
    for count, words in ((2, ("two", "2", "pair")), (3, ("three", "3"))):
        scene = Scene((Item(CAT, 0.5, 0.5, 128),) * count, "sea", "day", 1)
        for seed in range(50):
            text = caption(scene, Random(seed)).lower()
            assert any(word in text for word in words), text


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ("puppy", "puppies"),
        ("fox", "foxes"),
        ("snowman", "snowmen"),
        ("cup of coffee", "cups of coffee"),
        ("mouse", "mice"),
        ("sheep", "sheep"),
        ("cherry", "cherries"),
        ("toy", "toys"),
    ],
)
def test_several_things_are_named_in_the_plural(one, several):
    assert plural(one) == several


def test_captions_differ_in_wording():
    scene = Scene((Item(CAT, 0.5, 0.5, 0.6, "big", "red"),), "snow", "night", 1, "neon")
    assert len({caption(scene, Random(seed)) for seed in range(200)}) > 100
    assert all("red" in caption(scene, Random(seed)).lower() for seed in range(50))
    assert set(COLOURS) >= {"red", "blue"}
