"""Choosing two pictures on the page: what is kept of the first, and what the second makes of the controls."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.fakes.web import EMBEDDINGS, LIMITS
from wuerst_demo.images.parsed_settings import ParsedSettings
from wuerst_demo.variation import encode_image_embeddings
from wuerst_demo.web.generate.morph import (
    BY_PROMPT_MESSAGE,
    choose_picture,
    describe_morph,
    from_json,
    is_another_prompt,
    parse_frames,
    show_first,
    to_json,
)


def picture(checkpoint="one", embeddings=EMBEDDINGS, **values):
    request = LIMITS.request({"prompt": "a cat", "seed": 7, **values})
    return ParsedSettings(request.to_dict(), checkpoint, image_embeddings=embeddings)


FIRST = to_json(picture())


def test_the_first_picture_is_kept_and_comes_back_from_json():
    choice = choose_picture(None, picture(), 5, LIMITS)
    assert (choice.values, choice.notes) == ({}, ())
    assert from_json(json.loads(json.dumps(choice.first))) == picture()


def test_the_second_picture_completes_the_request():
    choice = choose_picture(FIRST, picture(prompt="a dog", seed=9), 5, LIMITS)
    request = LIMITS.request(choice.values)
    assert (choice.first, choice.notes, request.images) == (None, (), 5)
    assert [request.image(k).prompt for k in (0, 4)] == ["a cat", "a dog"]
    assert "images" not in choice.values  # the control keeps what was set


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [(picture(prompt="a dog", width=512), "different sizes"), (picture("another", prompt="a dog"), "one and another")],
)
def test_a_picture_that_does_not_fit_is_offered_by_its_prompt(chosen, reason):
    choice = choose_picture(FIRST, chosen, 5, LIMITS)
    assert reason in choice.notes[0]
    assert choice.notes[1] == BY_PROMPT_MESSAGE
    assert choice.first == FIRST
    assert (choice.values["prompt"], choice.values["width"], choice.values["height"]) == ("a dog", 256, 256)
    assert LIMITS.request(choice.values).morph is None


@pytest.mark.parametrize("first", [None, FIRST])
@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        (picture(embeddings=""), "does not carry its composition"),
        (picture(embeddings="nonsense"), "damaged"),
        (picture(embeddings=encode_image_embeddings(np.full((16, 6, 6), np.nan, np.float32))), "not finite"),
        (
            ParsedSettings(
                LIMITS.request(choose_picture(FIRST, picture(), 5, LIMITS).values).image(2).to_dict(),
                image_embeddings=EMBEDDINGS,
            ),
            "cannot be the end of another one",
        ),
    ],
)
def test_a_picture_that_cannot_be_morphed_says_so_at_once_and_nothing_is_lost(first, chosen, reason):
    choice = choose_picture(first, chosen, 5, LIMITS)
    assert reason in choice.notes[0]
    assert (choice.first, choice.values) == (first, {})


@pytest.mark.parametrize("value", [None, 3, "text", [], {}, {**FIRST, "values": 3}, {**FIRST, "checkpoint": None}])
def test_what_is_no_first_picture_is_none(value):
    assert from_json(value) is None
    assert show_first(value)[1] == ""


def test_a_first_picture_shows_its_prompt_escaped_and_short():
    _, note, _ = show_first(to_json(picture(prompt="<b>" + "x" * 100)))
    assert "&lt;b&gt;" + "x" * 56 + "…" in note
    assert "seed 7" in note


@pytest.mark.parametrize(("frames", "used"), [(3, 3), (16.0, 16), (2, 8), (17, 8), (None, 8), ("9", 8), ([], 8)])
def test_a_number_of_frames_that_is_none_is_the_default(frames, used):
    assert parse_frames(frames) == used


def test_another_prompt_than_those_of_the_pictures_ends_a_morph():
    values = choose_picture(FIRST, picture(prompt="a dog", seed=9), 5, LIMITS).values
    assert [is_another_prompt(values["morph"], each) for each in ("a cat", "a dog", "a cow")] == [False, False, True]
    assert not any(is_another_prompt(each, "a cow") for each in (None, 3, {}, {"first": 3}))


def test_a_morph_and_one_of_its_frames_are_described():
    assert "in 5 frames" in describe_morph({"frames": 5})
    assert describe_morph({"frames": 5, "frame": 2}).startswith("Frame 3 of 5")
