"""Values as people type them, against the limits of a checkpoint."""

import pytest

from tests.ui.fakes import LIMITS
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.request import Limits
from wuerst_demo.ui.axes import LONGEST, MOST, axis, varied


def labels(name, typed):
    return [value.label for value in axis(LIMITS, name, typed, "").values]


def numbers(name, typed):
    return [value.fields[name] for value in axis(LIMITS, name, typed, "").values]


def test_lists_and_ranges_are_read_in_their_order():
    assert numbers("seed", "1, 2, 3") == [1, 2, 3]
    assert numbers("seed", "1-4") == [1, 2, 3, 4]
    assert numbers("seed", "4 – 1") == [4, 3, 2, 1]
    assert numbers("seed", "9; 2 5\n7") == [9, 2, 5, 7]
    assert numbers("seed", "4294967295, 0") == [4294967295, 0]
    assert numbers("prior_steps", "10-30 by 10, 5, 1..3, 6 to 7") == [10, 20, 30, 5, 1, 2, 3, 6, 7]
    assert numbers("prior_guidance", "0.5, 1-2 by 0.1") == [0.5, *(1 + k / 10 for k in range(11))]


def test_numbers_are_of_the_kind_that_their_field_holds():
    assert [type(each) for each in numbers("decoder_steps", "1, 2.0")] == [int, int]
    assert [type(each) for each in numbers("decoder_guidance", "1, 2.5")] == [float, float]


def test_a_size_is_one_side_or_two_and_ranges_of_sides_go_in_the_checkpoints_steps():
    sizes = axis(LIMITS, "size", "256x384, 384 × 256, 256-512", "").values
    assert [(each.fields["width"], each.fields["height"]) for each in sizes] == [
        (256, 384),
        (384, 256),
        (256, 256),
        (384, 384),
        (512, 512),
    ]
    assert sizes[0].label == "256 × 384"


def test_what_is_typed_twice_is_there_once():
    assert numbers("seed", "3, 1-3, 1") == [3, 1, 2]
    assert labels("prior_guidance", "4, 4.0, 4.00") == ["4"]
    assert labels("size", "256, 256x256") == ["256 × 256"]


def test_variants_of_the_prompt_are_an_axis_of_their_own():
    found = axis(LIMITS, "prompt", "what is typed here is not looked at", "a {cat|dog}")
    assert [(each.label, each.fields["prompt"]) for each in found.values] == [("cat", "a cat"), ("dog", "a dog")]


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("seed", "", "Seed has no values to compare"),
        ("size", " , ", "Size has no values to compare"),
        ("seed", "one", "Seed must be a whole number from 0 to 4294967295."),
        ("seed", "-1", "Seed is -1; choose from 0"),
        ("prior_steps", "10, 0", "Prior steps is 0; choose from 1 to 100."),
        ("prior_steps", "2.5", "Prior steps must be a whole number"),
        ("prior_steps", "90-110", "Prior steps is 101; choose"),
        ("prior_guidance", "nan", "Prior guidance must be a number"),
        ("prior_guidance", "1e999", "Prior guidance must be a number"),
        ("size", "300", "Width is 300, which is not a multiple of 128; the nearest are 256 and 384."),
        ("size", "256x1024", "Height is 1024; choose from 256 to 512."),
        ("size", "wide", "A size is a side in pixels"),
        ("seed", "1-4 by 0", "Seed cannot go on by 0"),
        ("seed", "1-100", "Seed has 100 values; a comparison has at most 36 pictures"),
        ("seed", "0-4294967295", "Seed has 4,294,967,296 values"),
        ("seed", ",".join(map(str, range(MOST + 1))), f"Seed has {MOST + 1} values"),
        ("seed", "1" * 6000, f"at most {LONGEST} characters"),
        ("seed", "1" * 300, "Seed is far too large"),
        ("prompt", "", "The prompt has no variants"),
        ("width", "256", "no such setting to compare"),
        ("", "1", "no such setting to compare"),
    ],
)
def test_each_mistake_gets_one_sentence_with_the_remedy(name, typed, said):
    with pytest.raises(InvalidRequest, match=said.replace("(", r"\(")) as refused:
        axis(LIMITS, name, typed, "a cat")
    assert "\n" not in str(refused.value)


def test_too_many_variants_are_refused_before_they_are_written_out():
    with pytest.raises(InvalidRequest, match="Prompt variants has 1,024 values"):
        axis(LIMITS, "prompt", "", "{a|b}" * 10)


def test_what_can_have_one_value_only_cannot_be_compared():
    fixed = Limits().narrow(
        width={"least": 256, "most": 256}, height={"least": 256, "most": 256}, decoder_steps={"least": 4, "most": 4}
    )
    assert not {"size", "decoder_steps"} & set(varied(fixed))
    assert set(varied(Limits())) == {
        "prompt",
        "seed",
        "prior_steps",
        "prior_guidance",
        "decoder_steps",
        "decoder_guidance",
        "size",
    }
