"""Lines of prompts with settings of their own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.prompt_lines import FIELD_OF_FLAG, list_prompt_lines, parse_prompt_line
from wuerst_demo.request import DESCRIPTIONS, Limits


def test_every_field_of_a_request_has_a_flag():
    assert sorted(FIELD_OF_FLAG.values()) == sorted(DESCRIPTIONS)


def test_lines_keep_their_numbers():
    text = "one\r\n\n  # two\r  three  \n#four\nfive"
    assert list_prompt_lines(text) == [(1, "one"), (4, "three"), (6, "five")]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("a cat", {"prompt": "a cat"}),
        ("(a cat)1.5, cat-- or dog++", {"prompt": "(a cat)1.5, cat-- or dog++"}),
        ('("a cat", "a hat").and() --seed 7', {"prompt": '("a cat", "a hat").and()', "seed": 7}),
        ("a cat -- or a dog --seed -1", {"prompt": "a cat -- or a dog", "seed": -1}),
        ("a cat's hat --negative-prompt it's red --width=384", {"negative_prompt": "it's red", "width": 384}),
        ('a cat --negative-prompt "red, green"', {"negative_prompt": "red, green"}),
        ('a cat --negative-prompt "red" "green"', {"negative_prompt": '"red" "green"'}),
        ("a cat --prior-guidance 2.5 --no-weighting", {"prior_guidance": 2.5, "weighting": False}),
        ("--seed 7", {"prompt": "", "seed": 7}),
        ('--prompt "a cat" --seed 7', {"prompt": "a cat", "seed": 7}),
        ("a cat\t--seed\t7", {"prompt": "a cat", "seed": 7}),
    ],
)
def test_a_line_is_a_prompt_and_settings(line, values):
    assert parse_prompt_line(line) == {"prompt": "a cat" if "'" not in line else "a cat's hat"} | values


@given(st.text(alphabet="ab -=\"'#\t1", max_size=40))
def test_any_line_is_values_or_one_sentence(line):
    found: object = None
    try:
        found = parse_prompt_line(line)
    except InvalidRequest as error:
        found = str(error)
    if isinstance(found, str):
        assert found.endswith((".", "?"))
    else:
        assert set(found) <= set(DESCRIPTIONS)
        if " --" not in f" {line}".replace("\t", " "):
            assert found == {"prompt": line}


@given(st.sampled_from([name for name in DESCRIPTIONS if name not in ("prompt", "negative_prompt", "weighting")]))
def test_the_default_of_every_number_can_be_written_on_a_line(name):
    default = getattr(Limits().request({"seed": 5}), name)
    (flag,) = (flag for flag, field in FIELD_OF_FLAG.items() if field == name)
    values = parse_prompt_line(f"a cat {flag} {default}")
    assert getattr(Limits().request(values), name) == default
