"""The JSON of a checkpoint: what is read, and every bound."""

import json

import pytest

from wuerst_demo.checkpoints.json_reader import MAX_CONFIG_BYTES, MAX_DEPTH, parse_json


def test_ordinary_json_is_read_with_or_without_a_byte_order_mark():
    value = {"a": [1, -2.5e-3, True, None, "é\n"], "": {}}
    assert parse_json(json.dumps(value)) == value
    assert parse_json(b"\xef\xbb\xbf" + json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        b"\xff\xfe",
        "[NaN]",
        "[Infinity]",
        "[-Infinity]",
        "[1e400]",
        "[-1e400]",
        "[1" + "0" * 400 + "]",
        "[" + "9" * 4301 + "]",
        "[0." + "1" * 4301 + "]",
        '{"a": 1, "a": 2}',
        '{"b": {"a": 1, "\\u0061": 2}}',
        "[" * 100_000,
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
    ],
)
def test_other_json_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the callers say what is wrong with their file
        parse_json(text)


def test_bounds_are_reached_and_not_passed():
    integer, deep = "9" * 20, "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_json(f"[{integer}]") == [int(integer)]
    assert parse_json(deep) is not None
    assert parse_json(" " * (MAX_CONFIG_BYTES - 2) + "{}") == {}
    with pytest.raises(ValueError, match="more than 1,048,576 bytes"):
        parse_json(" " * (MAX_CONFIG_BYTES - 1) + "{}")
