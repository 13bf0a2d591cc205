"""The small helps around asking: words, styles, shapes, seeds, times."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ui.fakes import LIMITS, Painter, studio
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.request import Limits
from wuerst_demo.ui import aids, show
from wuerst_demo.ui.drawing import Picture
from wuerst_demo.ui.look import ASSETS
from wuerst_demo.ui.plain import Plain
from wuerst_demo.ui.sizes import NEAR, shapes
from wuerst_demo.ui.styles import styled, styles
from wuerst_demo.ui.vocabulary import hint, unknown

KNOWS = ("cat", "hot dog", "fox", "in", "the", "snow", "at", "night")
PUBLISHED = Limits().narrow(
    width={"least": 1024, "most": 2048, "default": 1024}, height={"least": 1024, "most": 2048, "default": 1024}
)
COCKTAIL = Limits().narrow(
    width={"least": 256, "most": 384, "default": 256}, height={"least": 256, "most": 384, "default": 256}
)


def test_words_that_no_known_phrase_has_are_new_each_once_in_their_order():
    assert unknown("The anthropomorphic CAT, in 3 hot-dog costumes and with snow: anthropomorphic", KNOWS) == (
        "anthropomorphic",
        "costumes",
    )


def test_a_checkpoint_that_lists_nothing_knows_everything():
    assert unknown("anthropomorphic", ()) == ()
    assert hint((), KNOWS, 3) == ""


def test_the_hint_names_the_new_words_a_near_one_that_it_knows_and_how_much_it_knows():
    said = hint(("cats", "anthropomorphic"), KNOWS, 3)
    assert "<q>cats</q> <span>(try</span> <q>cat</q>)" in said
    assert "<q>anthropomorphic</q>." in said
    assert "3 things, such as cat, hot dog, fox" in said
    assert "1 thing, such as cat" in hint(("dog",), KNOWS, 1)


def test_a_hint_stays_short_and_is_text_however_many_and_long_the_words():
    said = hint([f"word{'x' * 2000}{chr(97 + k)}" for k in range(20)], KNOWS, 3)
    assert len(said) < 500
    assert "and 15 more" in said
    assert "<b>" not in hint(("<b>",), KNOWS, 0)


def test_every_style_is_a_name_and_words_and_a_small_checkpoint_gets_those_it_can_follow():
    every = styles(ASSETS / "styles.toml")
    assert len({style.name for style in every}) == len(every) >= 8
    known = styles(ASSETS / "styles.toml", KNOWS)
    assert [style.words for style in known] == ["at night", "in the snow"]
    for style in every:
        LIMITS.request({"prompt": styled("a cat", style.words)})


@pytest.mark.parametrize("text", ["", "[[style]]\nname = 'only'", "[[style]]\nname = 'a'\nwords = 'b'\nmore = 1", "{"])
def test_a_file_of_styles_that_is_none_is_not_read(tmp_path: Path, text):
    (tmp_path / "styles.toml").write_text(text)
    with pytest.raises((KeyError, TypeError, tomllib.TOMLDecodeError)):
        styles(tmp_path / "styles.toml")


def test_a_style_adds_its_words_once_and_nothing_else():
    assert styled("a cat", "oil painting, rich colours") == "a cat, oil painting, rich colours"
    assert styled("a cat,  ", "at night") == "a cat at night"
    assert styled("a cat at night", "at night") == "a cat at night"
    assert styled("", "at night") == "at night"
    assert aids.dressed("a cat", "") == ("a cat", "")
    assert aids.dressed("a cat", "at night") == ("a cat at night", "")


@pytest.mark.parametrize("limits", [COCKTAIL, PUBLISHED, LIMITS])
def test_every_shape_can_be_drawn_and_is_what_it_is_called(limits):
    for size in shapes(limits):
        limits.request({"width": size.width, "height": size.height})
        across, down = map(int, size.name.split(":"))
        assert abs(size.width * down / (size.height * across) - 1) < NEAR


def test_shapes_are_those_that_a_checkpoint_has():
    assert [size.name for size in shapes(COCKTAIL)] == ["1:1", "3:2", "2:3"]
    assert [size.name for size in shapes(PUBLISHED)] == ["1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16"]
    assert shapes(LIMITS.narrow(width={"least": 256, "most": 256})) == ()


def test_a_surprise_is_another_example_than_the_prompt_is_now():
    first = aids.another(["a", "b"], choose=lambda given: given[0])
    assert first("a") == "b"
    assert first("c") == "a"
    assert aids.another(["a"], choose=lambda given: given[0])("a") == "a"


def test_the_last_seed_is_reused_and_held():
    request = LIMITS.request({"seed": 70})
    assert aids.same_seed((Picture(0, Path("a.png"), request),)) == (70, False)


class Measured(Plain):
    @property
    def standing(self):
        return {"prior": 2, "waiting": 1}

    def estimate(self, request, /):
        return 4.0 * request.images


def test_the_expected_time_is_the_engines_and_says_who_else_is_drawing():
    expect = aids.expecting(replace(studio(), engine=Measured(Painter().draw)))
    assert expect(images=2) == "<span>Takes about 8 s, beside 3 other pictures.</span>"
    assert expect(images=0) == ""
    assert aids.expecting(studio())(images=1) == ""
    with pytest.raises(InvalidRequest):
        LIMITS.request({"images": 0})


def test_the_expected_time_is_said_alone_where_nobody_else_draws():
    assert show.expected(3.4, 0) == "<span>Takes about 3 s.</span>"
    assert show.expected(3.4, 1) == "<span>Takes about 3 s, beside 1 other picture.</span>"
