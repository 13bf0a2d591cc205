"""Captions: every statement is true, and the wording varies."""

import re
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from wuerst_demo.training.data.captions import OPENINGS, CaptionOptions, caption, plural
from wuerst_demo.training.data.scenes import Item, Scene, sample_scene
from wuerst_demo.training.data.vocabulary import COLOURS, PLACES, STYLES, THINGS, TIMES

BY_NAME = {thing.name: thing for thing in THINGS}
CAT, DOG = BY_NAME["cat"], BY_NAME["dog"]
BESIDE = Scene((Item(CAT, 0.25, 0.5, 128), Item(DOG, 0.75, 0.5, 128)), "grass", "day", 1)
ABOVE = Scene((Item(CAT, 0.5, 0.25, 128), Item(DOG, 0.5, 0.75, 128)), "grass", "day", 1, column=True)


def at(text, thing):
    """Where the text names the thing."""
    return min(text.find(name) for name in thing.names if name in text)


def test_a_caption_names_all_things_the_place_the_style_and_the_time():
    rng = Random(2)
    for _ in range(1000):
        scene = sample_scene(rng, kind=rng.choice((None, None, "crowd")))
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


def test_a_crowd_is_listed_with_each_thing_once():
    scene = Scene(
        tuple(Item(thing, x, y, 64) for x in (0.2, 0.8) for y, thing in ((0.2, CAT), (0.8, DOG))), "blue", "", 1
    )
    birds = replace(scene, items=(*scene.items, Item(BY_NAME["owl"], 0.5, 0.5, 64), Item(BY_NAME["owl"], 0.5, 0.2, 64)))
    text = caption(birds, Random(1))
    assert sum(text.lower().count(name) for thing in (CAT, DOG, BY_NAME["owl"]) for name in thing.names) == 3, text


def test_left_and_right_are_stated_correctly():
    stated = set()
    for seed in range(300):
        text = caption(BESIDE, Random(seed), options=CaptionOptions(sides=True)).lower()
        if "right of" in text:
            assert at(text, DOG) < at(text, CAT), text
        else:
            assert "left" in text
            assert at(text, CAT) < at(text, DOG), text
        stated |= {word for word in ("left", "right") if word in text}
    assert stated == {"left", "right"}


def test_above_and_below_are_stated_correctly():
    for seed in range(300):
        text = caption(ABOVE, Random(seed), options=CaptionOptions(sides=True)).lower()
        first, second = (CAT, DOG) if " above " in text or " over " in text else (DOG, CAT)
        assert at(text, first) < at(text, second), text
        assert "left" not in text


def test_the_arrangement_can_be_left_out():
    texts = [caption(BESIDE, Random(seed), options=CaptionOptions(sides=False)).lower() for seed in range(200)]
    assert not [text for text in texts if " left" in text or " right" in text]


def test_listed_things_are_in_reading_order():
    for seed in range(200):
        text = caption(BESIDE, Random(seed), options=CaptionOptions(sides=False)).lower()
        assert at(text, CAT) < at(text, DOG), text


def test_a_column_is_always_stated():
    for seed in range(200):
        text = caption(ABOVE, Random(seed)).lower()
        assert any(f" {word}" in text for word in ("above", "below", "over", "under")), text


def test_things_can_have_their_other_names():
    scene = Scene((Item(CAT, 0.5, 0.5, 128),), "blue", "", 1)
    for seed in range(100):
        text = caption(scene, Random(seed), options=CaptionOptions(second_names=True)).lower()
        assert "kitten" in text or "kitty" in text, text


def test_several_of_the_same_are_counted():
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
def test_plurals(one, several):
    assert plural(one) == several


def test_captions_differ_in_wording():
    scene = Scene((Item(CAT, 0.5, 0.5, 0.6, "big", "red"),), "snow", "night", 1, "neon")
    assert len({caption(scene, Random(seed)) for seed in range(200)}) > 100
    assert all("red" in caption(scene, Random(seed)).lower() for seed in range(50))
    assert set(COLOURS) >= {"red", "blue"}


def test_second_names_are_used_where_a_thing_has_just_two():
    two = next(thing for thing in THINGS if len(thing.names) == 2)
    scene = Scene((Item(two, 0.5, 0.5, 128),), "grass", "day", 1)
    rng = Random(3)
    texts = [caption(scene, rng, options=CaptionOptions(second_names=True)).lower() for _ in range(30)]
    assert all(two.names[1] in text for text in texts)


def share(scene, holds, **options):
    """How many captions of a thousand hold something."""
    texts = [caption(scene, Random(seed), options=CaptionOptions(**options)) for seed in range(1000)]
    return sum(bool(holds(text)) for text in texts) / len(texts)


CAT_AT_NIGHT = Scene((Item(CAT, 0.5, 0.5, 128),), "grass", "night", 1)
OWL = Scene((Item(BY_NAME["owl"], 0.5, 0.5, 128),), "blue", "", 1)


@pytest.mark.parametrize(
    ("scene", "holds", "expected"),
    [
        (CAT_AT_NIGHT, lambda text: ", grass, night" in text.lower(), 0.15),
        (
            CAT_AT_NIGHT,
            lambda text: text.lower().startswith(tuple(f"{each}, " for each in TIMES["night"])),
            0.85 * 0.12,
        ),
        (CAT_AT_NIGHT, lambda text: text.lower().startswith(OPENINGS[:-1]), 0.12 * 5 / 6),
        (CAT_AT_NIGHT, lambda text: text[-1] in ".!", 0.12 * 2 / 5),
        (CAT_AT_NIGHT, str.isupper, 0.12 / 5),
        (replace(CAT_AT_NIGHT, time="day"), lambda text: any(each in text.lower() for each in TIMES["day"]), 0.36),
        (OWL, lambda text: re.search(r"\ban owl\b", text.lower()), 0.72),
        (OWL, lambda text: re.search(r"\bthe owl\b", text.lower()), 0.1),
        (BESIDE, lambda text: "left" in text.lower() or "right" in text.lower(), 0.7),
    ],
)
def test_phrasings_have_their_shares(scene, holds, expected):
    assert share(scene, holds) == pytest.approx(expected, abs=0.02 + 0.15 * expected)


def test_fillers_are_one_to_three_words_of_some_captions():
    counts = Counter()
    for seed in range(1000):
        plain, filled = (caption(CAT_AT_NIGHT, Random(seed), fillers) for fillers in ((), ("zzz",)))
        counts[filled.count("zzz")] += 1
        assert " ".join(word for word in filled.split(" ") if word != "zzz") == plain
    assert set(counts) == {0, 1, 2, 3}
    assert 1000 - counts[0] == pytest.approx(150, abs=40)
    assert counts[1] == pytest.approx(75, abs=30)


def test_plain_captions_name_a_colour_as_background_and_no_day():
    scene = replace(OWL, place="orange")
    for seed in range(300):
        text = caption(scene, Random(seed)).lower()
        assert "a orange" not in text
        assert text.count("orange") == 1
    assert share(scene, lambda text: ", orange" in text.lower()) == pytest.approx(0.15, abs=0.04)
    by_day = replace(CAT_AT_NIGHT, time="day")
    assert share(by_day, lambda text: text.lower().endswith(", day")) == 0


def test_sounds_decide_between_a_and_an():
    for name, article in (("unicorn", "a unicorn"), ("owl", "an owl"), ("cat", "a cat")):
        scene = Scene((Item(BY_NAME[name], 0.5, 0.5, 128),), "blue", "", 1)
        wrong = {"a": "an", "an": "a"}[article.split()[0]] + article[article.index(" ") :]
        assert share(scene, lambda text: re.search(rf"\b{article}\b", text.lower())) > 0.4  # noqa: B023
        assert share(scene, lambda text: re.search(rf"\b{wrong}\b", text.lower())) == 0  # noqa: B023
