"""Validation of requests: one sentence for every value that is not allowed."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import values
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.fields import SEED_COUNT, Number, allowed_values, parse_value
from wuerst_demo.request import DESCRIPTIONS, SOURCE_FIELDS, Limits, Request

LIMITS = Limits()
NUMBERS_BY_NAME = {name: each for name, each in DESCRIPTIONS.items() if isinstance(each, Number)}
NUMBERS = list(NUMBERS_BY_NAME)


def error_message(limits=LIMITS, **values):
    with pytest.raises(InvalidRequest) as caught:
        limits.request(values)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


SOME = st.fixed_dictionaries({}, optional=values(LIMITS))
"""Some fields, with allowed values."""


@given(SOME)
def test_request_has_the_given_values_and_defaults_for_the_rest(given_values):
    request = LIMITS.request(given_values)
    for name, description in DESCRIPTIONS.items():
        if name in given_values:
            assert getattr(request, name) == given_values[name]
        elif name != "seed":
            assert getattr(request, name) == description.default


@given(SOME)
def test_complete_request_is_reproduced_from_its_fields(given_values):
    request = LIMITS.request(given_values)
    assert LIMITS.request(dataclasses.asdict(request)) == request


def test_fields_have_the_declared_number_types():
    request = LIMITS.request({"width": 256.0, "prior_guidance": 3})
    assert (type(request.width), type(request.prior_guidance)) == (int, float)
    assert type(LIMITS.request({}).decoder_guidance) is float


def test_empty_prompt_is_allowed():
    assert LIMITS.request({"prompt": ""}).prompt == ""
    assert LIMITS.request({}).prompt == ""


def test_missing_seed_is_chosen_at_random():
    seeds = {LIMITS.request({}).seed for _ in range(20)}
    assert len(seeds) > 10
    assert all(isinstance(seed, int) and 0 <= seed < SEED_COUNT for seed in seeds)


def test_seed_minus_1_is_chosen_at_random():
    for minus_1 in (-1, -1.0, np.int64(-1), parse_value(LIMITS.number("seed"), "-1")):
        seeds = {LIMITS.request({"seed": minus_1}).seed for _ in range(20)}
        assert len(seeds) > 10
        assert all(isinstance(seed, int) and 0 <= seed < SEED_COUNT for seed in seeds)
    assert "Prior steps is -1" in error_message(prior_steps=-1)


def test_seed_of_image_k_wraps_around():
    request = LIMITS.request({"seed": SEED_COUNT - 1, "images": 3, "prompt": "cat"})
    assert [request.image(k).seed for k in range(3)] == [SEED_COUNT - 1, 0, 1]
    assert request.image(1) == LIMITS.request({"seed": 0, "images": 1, "prompt": "cat"})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, "12", "", "abc", True, [1], {}, 10**400, -(10**400), 1e308, 1j]
)
def test_value_that_is_not_a_number_in_bounds_is_rejected(name, value):
    message = error_message(**{name: value})
    description = DESCRIPTIONS[name]
    assert message.startswith(description.label)
    assert f"from {description.least:g}" in message or f"from {int(description.least)}" in message
    assert len(message) < 120


@pytest.mark.parametrize("name", NUMBERS)
def test_number_beyond_its_bounds_is_rejected_with_the_bounds(name):
    description = DESCRIPTIONS[name]
    below = description.least - description.step * (2 if name == "seed" else 1)  # seed -1 is random
    for value in (below, description.most + description.step):
        assert f"choose from {int(description.least)} to {int(description.most)}." in error_message(**{name: value})
    for value in (description.least, description.most):
        assert LIMITS.validate_fields({name: value})[name] == value


def test_numpy_integer_is_an_integer():
    seed = LIMITS.request({"seed": np.uint32(SEED_COUNT - 1)}).seed
    assert (seed, type(seed)) == (SEED_COUNT - 1, int)


def test_number_far_out_of_bounds_is_not_printed():
    assert "far too large" in error_message(seed=10**20)
    assert "far too small" in error_message(seed=-(10**20))


@pytest.mark.parametrize("seed", [-2, 2**32, 2**40])
def test_seed_out_of_range_is_rejected(seed):
    assert error_message(seed=seed) == f"Seed is {seed}; choose from 0 to 4294967295."


def test_integer_field_rejects_a_fraction():
    for value in (2.5, -2.5):
        assert error_message(prior_steps=value) == "Prior steps must be a whole number from 1 to 100."


@pytest.mark.parametrize(("size", "nearest"), [(1000, "896 and 1024"), (129, "128 and 256"), (2047, "1920 and 2048")])
def test_size_off_the_grid_is_rejected_with_the_nearest_sizes(size, nearest):
    assert error_message(width=size) == f"Width is {size}, which is not a multiple of 128; the nearest are {nearest}."


def test_text_that_is_too_long_is_rejected_with_both_lengths():
    assert LIMITS.request({"prompt": "x" * 2000})
    assert "2,001 characters" in error_message(prompt="x" * 2001)
    assert error_message(negative_prompt="x" * 100_000) == (
        "Negative prompt is 100,000 characters long; shorten it to at most 2,000."
    )


def test_errors_never_quote_the_prompt():
    assert "secret" not in error_message(prompt="secret" * 1000)
    assert "secret" not in error_message(prompt="secret\0")


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\ud800"])
def test_control_characters_are_rejected(character):
    assert f"U+{ord(character):04X}" in error_message(prompt="cat" + character)


@pytest.mark.parametrize("text", ["zwei\nZeilen", "a\tb", "猫 🐈‍⬛ ñ", "e\u0301", "\u202e"])
def test_text_of_every_language_is_kept_unchanged(text):
    assert LIMITS.request({"prompt": text}).prompt == text


@pytest.mark.parametrize("value", [1, 1.5, ["cat"], b"cat", {}])
def test_prompt_that_is_not_text_is_rejected(value):
    assert error_message(prompt=value) == "Prompt must be text."


def test_switch_and_choice_accept_only_their_values():
    assert error_message(weighting=1) == "Prompt weighting must be true or false."
    assert error_message(prior_schedule="karras") == "Prior schedule must be one of: two-part, linear."
    assert error_message(prior_schedule=["two-part"]) == "Prior schedule must be one of: two-part, linear."


def test_an_unknown_sampler_is_rejected_with_those_there_are():
    for unknown in ("euler a", "DDIM", "", 1, float("nan"), ["ddim"]):
        assert error_message(sampler=unknown) == "Sampler must be one of: ddpm, ddim."


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"guidance_from": float("nan")}, "Guidance from must be a number from 0 to 1."),
        ({"guidance_to": "half"}, "Guidance to must be a number from 0 to 1."),
        ({"guidance_from": -0.1}, "Guidance from is -0.1; choose from 0 to 1."),
        ({"guidance_to": 1.5}, "Guidance to is 1.5; choose from 0 to 1."),
        (
            {"guidance_from": 0.8, "guidance_to": 0.3},
            "Guidance from is 0.8 and Guidance to is 0.3; lower the first or raise the second, so that guidance begins"
            " before it ends.",
        ),
        (
            {"guidance_to": 0},
            "Guidance from is 0 and Guidance to is 0; lower the first or raise the second, so that guidance begins"
            " before it ends.",
        ),
    ],
)
def test_an_interval_of_guidance_must_lie_in_0_to_1_and_begin_before_it_ends(values, said):
    assert error_message(**values) == said


def test_each_end_of_an_interval_is_valid_by_itself():
    limits = LIMITS.narrow(guidance_to={"default": 0.3})
    assert limits.validate_fields({"guidance_from": 0.5})["guidance_from"] == 0.5
    assert "begins before it ends" in error_message(limits, guidance_from=0.5)
    assert limits.request({"guidance_from": 0.5, "guidance_to": 0.9}).guidance_from == 0.5


def test_unknown_field_is_rejected_on_one_line():
    message = error_message(**{"sam\npler": 1})
    assert message.startswith("There is no setting 'sam pler'. The settings are: prompt, ")
    with pytest.raises(InvalidRequest) as caught:
        LIMITS.request({"first": 1, "second": 2})
    assert caught.value.field == "first"


def test_narrowing_never_widens_limits():
    limits = LIMITS.narrow(width={"least": 0, "most": 512, "default": 256}, height={"least": 256, "most": 99999})
    assert (limits.number("width").least, limits.number("width").most) == (128, 512)
    assert (limits.number("height").least, limits.number("height").most) == (256, 2048)
    assert limits.request({}).width == 256
    assert "choose from 128 to 512" in error_message(limits, width=1024)


def test_default_outside_narrower_bounds_moves_to_the_nearest_bound():
    assert LIMITS.narrow(width={"most": 512}).request({}).width == 512


def test_narrowing_does_not_change_the_original_limits():
    LIMITS.narrow(images={"most": 1})
    assert LIMITS.number("images").most == 8


def test_number_of_a_text_field_is_a_type_error():
    with pytest.raises(TypeError):
        LIMITS.number("prompt")


def test_request_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LIMITS.request({}).seed = 1


def test_numbers_have_the_documented_defaults_and_bounds():
    found = {name: (number.default, number.least, number.most, number.step) for name, number in NUMBERS_BY_NAME.items()}
    assert found == {
        "width": (1024, 128, 2048, 128),
        "height": (1024, 128, 2048, 128),
        "images": (1, 1, 8, 1),
        "seed": (None, 0, 2**32 - 1, 1),
        "prior_steps": (29, 1, 100, 1),
        "prior_guidance": (4.0, 0, 20, 0.1),
        "decoder_steps": (12, 1, 100, 1),
        "decoder_guidance": (0.0, 0, 20, 0.1),
        "guidance_from": (0.0, 0, 1, 0.05),
        "guidance_to": (1.0, 0, 1, 0.05),
    }
    assert DESCRIPTIONS["prompt"].max_chars == DESCRIPTIONS["negative_prompt"].max_chars == 2000


@pytest.mark.parametrize("description", DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_descriptions_are_immutable(description):
    with pytest.raises(dataclasses.FrozenInstanceError):
        description.label = ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", True),
        ("true", True),
        ("YES", True),
        (" on ", True),
        ("0", False),
        ("False", False),
        ("no", False),
        ("off", False),
    ],
)
def test_switch_is_parsed_from_the_common_words(text, value):
    assert parse_value(DESCRIPTIONS["weighting"], text) is value
    assert parse_value(DESCRIPTIONS["weighting"], "maybe") == "maybe"


def test_allowed_values_are_given_in_words():
    words = {name: allowed_values(description) for name, description in DESCRIPTIONS.items()}
    assert words["prompt"] == "up to 2,000 characters"
    assert (words["width"], words["images"], words["prior_guidance"]) == ("128 to 2048 by 128", "1 to 8", "0 to 20")
    assert (words["weighting"], words["prior_schedule"]) == ("on or off", "two-part or linear")


def test_every_field_of_a_request_has_its_own_description():
    assert [*DESCRIPTIONS, *SOURCE_FIELDS] == [field.name for field in dataclasses.fields(Request)]
    labels = [description.label for description in DESCRIPTIONS.values()]
    assert len(set(labels)) == len(labels)


@given(SOME)
def test_every_value_can_be_formatted_and_parsed_again(given_values):
    for name, value in given_values.items():
        assert parse_value(DESCRIPTIONS[name], str(value)) == value


@pytest.mark.parametrize("text", ["nan", "inf", "1e400", "abc", "", "9" * 5000, "0x10", "1 2", "--", "true"])
@pytest.mark.parametrize("name", ["width", "prior_guidance"])
def test_text_for_a_number_is_rejected_with_the_same_message(name, text):
    description = DESCRIPTIONS[name]
    kind = "a whole number" if description.whole else "a number"
    message = error_message(**{name: parse_value(description, text)})
    assert message == f"{description.label} must be {kind} from {int(description.least)} to {int(description.most)}."
