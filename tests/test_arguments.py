"""Reading a command line: what is a flag, what is a value, what is a word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wuerst_demo import arguments
from wuerst_demo.arguments import Flag
from wuerst_demo.errors import SettingsError

FLAGS = [
    Flag("--width", "width", "Pixels.", "W", section="Picture"),
    Flag("--negative-prompt", "negative_prompt", "Not this. " * 30, "T", section="Picture"),
    Flag("--no-weighting", "weighting", "As it is.", gives="false", section="Reading"),
]


def test_a_value_may_stand_after_a_space_or_an_equals_sign():
    assert arguments.read(["--width", "256"], FLAGS) == arguments.read(["--width=256"], FLAGS)


@given(st.text())
def test_a_flag_takes_the_next_word_whatever_it_looks_like(text):
    assert arguments.read(["--negative-prompt", text], FLAGS).texts == {"negative_prompt": text}


@given(st.text(), st.text())
def test_after_two_dashes_everything_is_a_word(first, second):
    assert arguments.read(["--", first, second], FLAGS).words == (first, second)


def test_a_word_with_one_dash_is_a_word():
    assert arguments.read(["-a cat", "-1"], FLAGS).words == ("-a cat", "-1")


def test_a_switch_gives_its_own_text():
    assert arguments.read(["--no-weighting"], FLAGS).texts == {"weighting": "false"}


def test_the_last_of_two_values_holds():
    assert arguments.read(["--width", "128", "--width", "256"], FLAGS).texts == {"width": "256"}


def test_of_a_flag_that_takes_many_the_values_come_together():
    flags = [*FLAGS, Flag("--lora", "lora", "A LoRA.", "L", many=True)]
    assert arguments.read(["--lora", "a", "--width", "1", "--lora=b"], flags).texts == {"lora": "a,b", "width": "1"}


def test_help_goes_before_everything_that_follows():
    assert arguments.read(["cat", "--help", "--nonsense"], FLAGS).help


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--witdh", "256"], "There is no option --witdh; did you mean --width?"),
        (["--xyzzy"], "There is no option --xyzzy; --help lists them all."),
        (["--width"], "--width needs a value: --width W."),
        (["--no-weighting=1"], "--no-weighting is a switch; give it without a value."),
    ],
)
def test_a_mistake_is_one_sentence_with_its_remedy(argv, says):
    with pytest.raises(SettingsError) as caught:
        arguments.read(argv, FLAGS)
    assert str(caught.value) == says


def test_an_unknown_option_is_not_quoted_at_length():
    with pytest.raises(SettingsError) as caught:
        arguments.read(["--a prompt of\nmany lines " + "and words " * 1000], FLAGS)
    assert len(str(caught.value)) < 120
    assert "\n" not in str(caught.value)


def test_the_help_names_every_flag_and_keeps_its_width():
    lines = arguments.described(FLAGS).splitlines()
    assert all(any(line.startswith(f"  {flag.word}") for line in lines) for flag in FLAGS)
    assert max(map(len, lines)) <= 100
    assert [line for line in lines if line.endswith(":")] == ["Picture:", "Reading:"]
