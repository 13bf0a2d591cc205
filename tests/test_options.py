"""Parsing a command line: what is an option, what is a value, what is a positional word."""

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wuerst_demo.errors import SettingsError
from wuerst_demo.options import OptionParser

FLAGS = ("--width", "--negative-prompt", "--lora", "--no-weighting")


@pytest.fixture(scope="module")
def parser():
    parser = OptionParser('generate "PROMPT" [options]')
    parser.add_argument("words", nargs="*", default=[], help=argparse.SUPPRESS)
    section = parser.add_argument_group("Picture")
    section.add_argument("--width", metavar="W", help="Pixels, 5 %% more.")
    section.add_argument("--negative-prompt", metavar="T", help="Not this. " * 30)
    section.add_argument("--lora", metavar="L", action="append", help="A LoRA.")
    section = parser.add_argument_group("Reading")
    section.add_argument("--no-weighting", dest="weighting", action="store_const", const="false", help="Literal.")
    return parser


def test_value_may_follow_a_space_or_an_equals_sign(parser):
    assert parser.parse(["--width", "256"]) == parser.parse(["--width=256"])


@given(st.text())
def test_option_takes_the_next_word_whatever_it_looks_like(parser, text):
    assert parser.parse(["--negative-prompt", text]).negative_prompt == text


@given(st.text(), st.text())
def test_after_two_dashes_everything_is_a_word(parser, first, second):
    assert parser.parse(["--", first, second]).words == [first, second]


def test_word_with_one_dash_is_a_word(parser):
    assert parser.parse(["-a cat", "-1", "-cat", "-hat"]).words == ["-a cat", "-1", "-cat", "-hat"]


def test_options_and_words_may_be_mixed(parser):
    given = parser.parse(["a", "--width", "1", "b", "--no-weighting", "c"])
    assert (given.words, given.width, given.weighting) == (["a", "b", "c"], "1", "false")


def test_option_that_is_not_given_is_missing(parser):
    assert vars(parser.parse([])) == {"help": False, "words": []}


def test_last_of_two_values_is_used(parser):
    assert parser.parse(["--width", "128", "--width", "256"]).width == "256"


def test_repeatable_option_collects_its_values(parser):
    given = parser.parse(["--lora", "a", "--width", "1", "--lora=b"])
    assert (given.lora, given.width) == (["a", "b"], "1")


@pytest.mark.parametrize("argv", [["cat", "--help"], ["-h"], ["--width", "1", "-h", "cat"]])
def test_help_is_reported_wherever_it_is_requested(parser, argv):
    assert parser.parse(argv).help


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--witdh", "256"], "There is no option --witdh; did you mean --width?"),
        (["--xyzzy"], "There is no option --xyzzy; --help lists them all."),
        (["--wid", "1"], "There is no option --wid; did you mean --width?"),
        (["--width"], "--width needs a value: --width W."),
        (["--width", "--", "cat"], "--width needs a value: --width W."),
        (["--width=--"], "--width needs a value: --width W."),
        (["--no-weighting=1"], "--no-weighting: ignored explicit argument '1'; see --help."),
    ],
)
def test_mistake_is_one_sentence_with_its_remedy(parser, argv, says):
    with pytest.raises(SettingsError) as caught:
        parser.parse(argv)
    assert str(caught.value) == says


def test_word_is_rejected_unquoted_where_none_is_expected():
    with pytest.raises(SettingsError) as caught:
        OptionParser("info [options]").parse(["a secret cat"])
    assert str(caught.value) == "Unexpected argument; options start with --, see --help."


@pytest.mark.parametrize("text", ["--a prompt of\nmany lines ", "--no-weighting=many\nlines"])
def test_unknown_option_or_value_is_not_quoted_at_length(parser, text):
    with pytest.raises(SettingsError) as caught:
        parser.parse([text + "and words " * 1000])
    assert len(str(caught.value)) < 220
    assert "\n" not in str(caught.value)


def test_help_names_every_option_and_keeps_its_width(parser):
    lines = parser.format_help().splitlines()
    assert all(any(line.startswith(f"  {flag}") for line in lines) for flag in FLAGS)
    assert any(line.endswith("5 % more.") for line in lines)
    assert max(map(len, lines)) <= 100
    assert [line for line in lines if line.endswith(":")] == ["options:", "Picture:", "Reading:"]
