"""The JSON reader for everything that comes with a checkpoint: bounded in size, depth and digits.

Other JSON is a ValueError: keys that appear twice, NaN, infinity, and numbers that no option can have. Python's own
reader takes time in the square of a number's digits, and hands out values that later arithmetic fails on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

MAX_CONFIG_BYTES = 2**20
MAX_DEPTH = 32
"""Lists and objects within each other."""
_MAX_NUMBER_CHARS = 40
_MAX_INTEGER_CHARS = 20
"""Enough for every file offset of 64 bits."""


def parse_json(data: bytes | str, max_bytes: int = MAX_CONFIG_BYTES) -> Any:
    """The value of a JSON text in UTF-8. Raises ValueError."""
    if len(data) > max_bytes:
        raise ValueError(f"more than {max_bytes:,} bytes")
    text = data if isinstance(data, str) else data.decode("utf-8-sig")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_parse_object,
            parse_int=_parse_integer,
            parse_float=_parse_float,
            parse_constant=_reject_constant,
        )
    except RecursionError as error:
        raise ValueError("too deep") from error
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for each in level for child in _children(each)]
        if not level:
            return value
    raise ValueError("too deep")


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _parse_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key appears twice")
    return value


def _parse_integer(text: str) -> int:
    if len(text) > _MAX_INTEGER_CHARS:
        raise ValueError("an integer has too many digits")
    return int(text)


def _parse_float(text: str) -> float:
    value = float(text) if len(text) <= _MAX_NUMBER_CHARS else math.inf
    if not math.isfinite(value):
        raise ValueError("a number is too long or too large")
    return value


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
