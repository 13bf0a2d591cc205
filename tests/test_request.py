"""What may be asked: one sentence for everything that may not."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.asking import values
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.request import DESCRIPTIONS, SEEDS, Limits, Number, Request, from_text

LIMITS = Limits()
NUMBERS = [name for name, description in DESCRIPTIONS.items() if isinstance(description, Number)]


def refusal(limits=LIMITS, **values):
    with pytest.raises(InvalidRequest) as caught:
        limits.request(values)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


SOME = st.fixed_dictionaries({}, optional=values(LIMITS))
"""Some fields, with values that the bounds for everybody admit."""


@given(SOME)
def test_a_request_holds_what_it_was_given_and_defaults_for_the_rest(given_values):
    request = LIMITS.request(given_values)
    for name, description in DESCRIPTIONS.items():
        if name in given_values:
            assert getattr(request, name) == given_values[name]
        elif name != "seed":
            assert getattr(request, name) == description.default


@given(SOME)
def test_a_complete_request_makes_itself_again(given_values):
    request = LIMITS.request(given_values)
    assert LIMITS.request(dataclasses.asdict(request)) == request


def test_fields_hold_the_kinds_of_numbers_they_declare():
    request = LIMITS.request({"width": 256.0, "prior_guidance": 3})
    assert (type(request.width), type(request.prior_guidance)) == (int, float)
    assert type(LIMITS.request({}).decoder_guidance) is float


def test_an_empty_prompt_is_allowed():
    assert LIMITS.request({"prompt": ""}).prompt == ""
    assert LIMITS.request({}).prompt == ""


def test_without_a_seed_one_is_drawn_and_written_down():
    seeds = {LIMITS.request({}).seed for _ in range(20)}
    assert len(seeds) > 10
    assert all(isinstance(seed, int) and 0 <= seed < SEEDS for seed in seeds)


def test_image_k_counts_the_seed_on_and_starts_again_at_zero():
    request = LIMITS.request({"seed": SEEDS - 1, "images": 3, "prompt": "cat"})
    assert [request.image(k).seed for k in range(3)] == [SEEDS - 1, 0, 1]
    assert request.image(1) == LIMITS.request({"seed": 0, "images": 1, "prompt": "cat"})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, "12", "", "abc", True, [1], {}, 10**400, -(10**400), 1e308, 1j]
)
def test_what_is_no_number_in_bounds_is_refused(name, value):
    message = refusal(**{name: value})
    description = DESCRIPTIONS[name]
    assert message.startswith(description.label)
    assert f"from {description.least:g}" in message or f"from {int(description.least)}" in message
    assert len(message) < 120


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_beside_its_bounds_is_refused_with_the_bounds(name):
    description = DESCRIPTIONS[name]
    for value in (description.least - description.step, description.most + description.step):
        assert f"choose from {int(description.least)} to {int(description.most)}." in refusal(**{name: value})
    for value in (description.least, description.most):
        assert getattr(LIMITS.request({name: value}), name) == value


def test_a_whole_number_of_numpys_is_a_whole_number():
    seed = LIMITS.request({"seed": np.uint32(SEEDS - 1)}).seed
    assert (seed, type(seed)) == (SEEDS - 1, int)


def test_a_number_far_off_is_said_in_a_word():
    assert "far too large" in refusal(seed=10**20)
    assert "far too small" in refusal(seed=-(10**20))


@pytest.mark.parametrize("seed", [-1, 2**32, 2**40])
def test_a_seed_outside_its_range_is_refused(seed):
    assert refusal(seed=seed) == f"Seed is {seed}; choose from 0 to 4294967295."


def test_a_whole_number_with_a_fraction_is_refused():
    assert refusal(prior_steps=2.5) == "Prior steps must be a whole number from 1 to 100."


@pytest.mark.parametrize(("size", "nearest"), [(1000, "896 and 1024"), (129, "128 and 256"), (2047, "1920 and 2048")])
def test_a_size_off_the_grid_is_told_the_nearest_ones(size, nearest):
    assert refusal(width=size) == f"Width is {size}, which is not a multiple of 128; the nearest are {nearest}."


def test_text_that_is_too_long_is_refused_with_both_lengths():
    assert LIMITS.request({"prompt": "x" * 2000})
    assert "2,001 characters" in refusal(prompt="x" * 2001)
    assert refusal(negative_prompt="x" * 100_000) == (
        "Negative prompt is 100,000 characters long; shorten it to at most 2,000."
    )


def test_a_refusal_never_quotes_the_prompt():
    assert "secret" not in refusal(prompt="secret" * 1000)
    assert "secret" not in refusal(prompt="secret\0")


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\ud800"])
def test_control_characters_are_refused(character):
    assert f"U+{ord(character):04X}" in refusal(prompt="cat" + character)


@pytest.mark.parametrize("text", ["zwei\nZeilen", "a\tb", "猫 🐈‍⬛ ñ", "e\u0301", "\u202e"])
def test_every_written_language_is_taken_as_it_is(text):
    assert LIMITS.request({"prompt": text}).prompt == text


@pytest.mark.parametrize("value", [1, 1.5, ["cat"], b"cat", {}])
def test_a_prompt_that_is_no_text_is_refused(value):
    assert refusal(prompt=value) == "Prompt must be text."


def test_a_switch_and_a_choice_take_only_their_own_values():
    assert refusal(weighting=1) == "Prompt weighting must be true or false."
    assert refusal(prior_schedule="karras") == "Prior schedule must be one of: two-part, linear."
    assert refusal(prior_schedule=["two-part"]) == "Prior schedule must be one of: two-part, linear."


def test_an_unknown_setting_is_refused_on_one_line():
    message = refusal(**{"sam\npler": 1})
    assert message.startswith("There is no setting 'sam pler'. The settings are: prompt, ")


def test_limits_only_get_narrower():
    limits = LIMITS.narrow(width={"least": 0, "most": 512, "default": 256}, height={"least": 256, "most": 99999})
    assert (limits.number("width").least, limits.number("width").most) == (128, 512)
    assert (limits.number("height").least, limits.number("height").most) == (256, 2048)
    assert limits.request({}).width == 256
    assert "choose from 128 to 512" in refusal(limits, width=1024)


def test_a_default_outside_narrower_bounds_moves_to_the_nearest_bound():
    assert LIMITS.narrow(width={"most": 512}).request({}).width == 512


def test_narrowing_leaves_the_limits_it_came_from_alone():
    LIMITS.narrow(images={"most": 1})
    assert LIMITS.number("images").most == 8


def test_only_numbers_are_asked_for_as_numbers():
    with pytest.raises(TypeError):
        LIMITS.number("prompt")


def test_a_request_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LIMITS.request({}).seed = 1


def test_every_field_of_a_request_is_described_once():
    assert list(DESCRIPTIONS) == [field.name for field in dataclasses.fields(Request)]
    labels = [description.label for description in DESCRIPTIONS.values()]
    assert len(set(labels)) == len(labels)


@given(SOME)
def test_every_value_can_be_written_as_text_and_read_again(given_values):
    for name, value in given_values.items():
        assert from_text(DESCRIPTIONS[name], str(value)) == value


@pytest.mark.parametrize("text", ["nan", "inf", "1e400", "abc", "", "9" * 5000, "0x10", "1 2", "--", "true"])
@pytest.mark.parametrize("name", ["width", "prior_guidance"])
def test_text_that_is_no_number_in_bounds_is_refused_in_the_same_words(name, text):
    description = DESCRIPTIONS[name]
    kind = "a whole number" if description.whole else "a number"
    said = refusal(**{name: from_text(description, text)})
    assert said == f"{description.label} must be {kind} from {int(description.least)} to {int(description.most)}."
