"""Typed values of axes, against the limits of a checkpoint."""

import re

import pytest

from tests.fakes.web import LIMITS
from wuerst_demo.errors import InvalidRequest, UserError
from wuerst_demo.fields import SEED_COUNT
from wuerst_demo.request import Limits
from wuerst_demo.web.compare.axes import (
    MAX_CELLS,
    MAX_VALUES_CHARS,
    default_values,
    list_axes,
    parse_axis,
    values_help,
)


def labels(name, typed):
    return [value.label for value in parse_axis(LIMITS, name, typed, "").values]


def numbers(name, typed):
    return [value.fields[name] for value in parse_axis(LIMITS, name, typed, "").values]


def test_lists_and_ranges_keep_their_order():
    assert numbers("seed", "1, 2, 3") == [1, 2, 3]
    assert numbers("seed", "1-4") == [1, 2, 3, 4]
    assert numbers("seed", "4 – 1") == [4, 3, 2, 1]
    assert numbers("seed", "9; 2 5\n7") == [9, 2, 5, 7]
    assert numbers("seed", "4294967295, 0") == [4294967295, 0]
    assert numbers("prior_steps", "10-30 by 10, 5, 1..3, 6 to 7") == [10, 20, 30, 5, 1, 2, 3, 6, 7]
    assert numbers("prior_guidance", "0.5, 1-2 by 0.1") == [0.5, *(1 + k / 10 for k in range(11))]


def test_numbers_have_the_type_of_their_field():
    assert [type(each) for each in numbers("decoder_steps", "1, 2.0")] == [int, int]
    assert [type(each) for each in numbers("decoder_guidance", "1, 2.5")] == [float, float]


def test_sizes_are_one_or_two_sides_and_ranges_use_the_checkpoints_step():
    sizes = parse_axis(LIMITS, "size", "256x384, 384 × 256, 256-512", "").values
    assert [(each.fields["width"], each.fields["height"]) for each in sizes] == [
        (256, 384),
        (384, 256),
        (256, 256),
        (384, 384),
        (512, 512),
    ]
    assert sizes[0].label == "256 × 384"


def test_duplicate_values_are_dropped():
    assert numbers("seed", "3, 1-3, 1") == [3, 1, 2]
    assert labels("prior_guidance", "4, 4.0, 4.00") == ["4"]
    assert labels("size", "256, 256x256") == ["256 × 256"]


def test_samplers_are_an_axis():
    assert labels("sampler", "DDIM, ddpm ddim") == ["ddim", "ddpm"]
    assert labels("guidance_to", "0.4-1 by 0.3") == ["0.4", "0.7", "1"]


def test_prompt_variants_are_an_axis():
    found = parse_axis(LIMITS, "prompt", "what is typed here is not looked at", "a {cat|dog}")
    assert [(each.label, each.fields["prompt"]) for each in found.values] == [("cat", "a cat"), ("dog", "a dog")]


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("seed", "", "Seed has no values to compare"),
        ("size", " , ", "Size has no values to compare"),
        ("seed", "one", "Seed must be a whole number from 0 to 4294967295."),
        ("seed", "-2", "Seed is -2; choose from 0"),
        ("prior_steps", "10, 0", "Prior steps is 0; choose from 1 to 100."),
        ("prior_steps", "2.5", "Prior steps must be a whole number"),
        ("prior_steps", "90-110", "Prior steps is 101; choose"),
        ("prior_guidance", "nan", "Prior guidance must be a number"),
        ("prior_guidance", "1e999", "Prior guidance must be a number"),
        ("size", "300", "Width is 300, which is not a multiple of 128; the nearest are 256 and 384."),
        ("size", "256x1024", "Height is 1024; choose from 256 to 512."),
        ("size", "wide", "A size is a side in pixels"),
        ("seed", "1-4 by 0", "Seed cannot vary in steps of 0"),
        ("seed", "1-100", "Seed has 100 values; a comparison has at most 36 pictures"),
        ("seed", "0-4294967295", "Seed has 4,294,967,296 values"),
        ("seed", ",".join(map(str, range(MAX_CELLS + 1))), f"Seed has {MAX_CELLS + 1} values"),
        ("seed", "1" * 6000, f"at most {MAX_VALUES_CHARS} characters"),
        ("seed", "1" * 300, "Seed is far too large"),
        ("sampler", "euler", "Sampler must be one of: ddpm, ddim."),
        ("sampler", " ,", "Sampler has no values to compare; type some, such as ddpm, ddim."),
        ("guidance_from", "0-2", "Guidance from is 2; choose from 0 to 1."),
        ("prompt", "", "The prompt has no variants"),
        ("width", "256", "no such setting to compare"),
        ("", "1", "no such setting to compare"),
    ],
)
def test_each_invalid_value_gets_one_message_with_a_remedy(name, typed, said):
    with pytest.raises(InvalidRequest, match=said.replace("(", r"\(")) as refused:
        parse_axis(LIMITS, name, typed, "a cat")
    assert "\n" not in str(refused.value)


def test_too_many_variants_are_rejected_before_they_are_expanded():
    with pytest.raises(InvalidRequest, match="Prompt variants has 1,024 values"):
        parse_axis(LIMITS, "prompt", "", "{a|b}" * 10)


def test_a_field_with_one_possible_value_is_no_axis():
    fixed = Limits().narrow(
        width={"least": 256, "most": 256}, height={"least": 256, "most": 256}, decoder_steps={"least": 4, "most": 4}
    )
    assert not {"size", "decoder_steps"} & set(list_axes(fixed))
    assert set(list_axes(Limits())) == {
        "prompts",
        "prompt",
        "seed",
        "prior_steps",
        "prior_guidance",
        "decoder_steps",
        "decoder_guidance",
        "guidance_from",
        "guidance_to",
        "sampler",
        "size",
    }


def test_values_to_begin_with_are_valid_and_look_different():
    limits = Limits()
    expected = {
        "prompts": "a cat\na dog",
        "seed": "1-3",
        "guidance_from": "0, 0.2, 0.4",
        "guidance_to": "0.5, 0.75, 1",
        "prior_guidance": "1, 2, 4",
        "sampler": "ddpm, ddim",
    }
    for name in set(list_axes(limits)) - {"prompt"}:
        typed = default_values(limits, name)
        found = parse_axis(limits, name, typed, "a {cat|dog}")
        assert len(found.values) > 1
        assert typed == expected.get(name, typed)
    steps = limits.number("prior_steps").default
    assert default_values(limits, "prior_steps") == f"{steps // 4}, {steps // 2}, {steps}"


@pytest.mark.parametrize(("default", "values"), [(1, "1, 2"), (2, "1, 2, 4"), (3, "1, 3, 6"), (8, "2, 4, 8")])
def test_values_to_begin_with_differ_for_few_steps(default, values):
    assert default_values(Limits().narrow(prior_steps={"default": default}), "prior_steps") == values


def test_the_range_of_seeds_is_said_in_digits():
    assert str(SEED_COUNT - 1) in values_help(Limits(), "seed")


def test_prompts_are_lines_with_settings_of_their_own():
    axis = parse_axis(
        LIMITS, "prompts", "# animals\na cat\n\n  a dog, brown --seed 7 --width=384\r\na cat\n", "ignored"
    )
    assert [(each.label, dict(each.fields)) for each in axis.values] == [
        ("a cat", {"prompt": "a cat"}),
        ("a dog, brown --seed 7 --width=384", {"prompt": "a dog, brown", "seed": 7, "width": 384}),
    ]
    assert axis.fields == {"prompt", "seed", "width"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("# nothing", "Prompts, one a line has no values to compare"),
        ("a cat\n\na dog --width 300", "Line 3: Width is 300, which is not a multiple of 128"),
        ("a cat --witdh 300", "Line 1: There is no option --witdh; did you mean --width?"),
        ("a cat --images 2", "Line 1: A comparison has one picture a cell; leave --images out."),
        ("\n".join(f"cat {k}" for k in range(37)), "has 37 values"),
        ("a" * 20_001, "are too long; type at most 20000 characters."),
    ],
)
def test_a_mistake_in_a_line_is_named_with_the_line(typed, said):
    with pytest.raises(UserError, match=re.escape(said)):
        parse_axis(LIMITS, "prompts", typed, "")
