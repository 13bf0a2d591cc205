"""Fields of a request, described: label, help, bounds and default of each, and the validation of one value.

Sliders, the command line, the web API, PNG text and the tables of the documentation all read these descriptions.
"""

from __future__ import annotations

import math
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from types import MappingProxyType

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.messages import message

SEED_COUNT = 2**32
"""Seeds are 0 to SEED_COUNT - 1; counting wraps around."""
RANDOM_SEED = -1
"""Stands for a random seed, as in other programs; no field of a `Request` has it."""


@dataclass(frozen=True)
class Text:
    """Description of a field of free text."""

    label: str
    help: str
    default: str = ""
    max_chars: int = 2000


@dataclass(frozen=True)
class Switch:
    """Description of a boolean field."""

    label: str
    help: str
    default: bool


@dataclass(frozen=True)
class Choice:
    """Description of a field with a few allowed words."""

    label: str
    help: str
    default: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Number:
    """Description of a numeric field: `least` <= value <= `most`."""

    label: str
    help: str
    default: float | None
    """None: random (the seed)."""
    least: float
    most: float
    step: float = 1
    """Values are multiples of it; of other than whole numbers it is the step of a slider alone."""
    whole: bool = True
    """Whether the value is an int; else a float."""


Description = Text | Switch | Choice | Number

BOOLEAN_WORDS: Mapping[str, bool] = MappingProxyType(
    {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
)
"""Spelling of a boolean, in lower case -> its value."""


def parse_value(description: Description, text: str) -> object:
    """The value of a text from a command line, an environment variable or another program's file.

    Text that cannot be parsed is returned unchanged, for `Limits.request` to reject.
    """
    match description:
        case Switch():
            return BOOLEAN_WORDS.get(text.strip().lower(), text)
        case Number():
            # int first, so that a seed keeps every digit; "1e400" and "nan" become floats that are out of bounds.
            for kind in (int, float):
                try:
                    return kind(text)
                except ValueError:
                    continue
            return text
        case _:
            return text


def allowed_values(description: Description) -> str:
    """The allowed values in words: `128 to 2048 by 128`."""
    match description:
        case Text():
            return f"up to {description.max_chars:,} characters"
        case Switch():
            return "on or off"
        case Choice():
            return " or ".join(description.choices)
        case Number():
            step = f" by {_format_number(description.step)}" if description.whole and description.step > 1 else ""
            return f"{_format_number(description.least)} to {_format_number(description.most)}{step}"


def format_default(description: Description) -> str:
    """The default in words."""
    match description:
        case Text():
            return description.default or "empty"
        case Switch():
            return "on" if description.default else "off"
        case Choice():
            return description.default
        case Number():
            return "random" if description.default is None else _format_number(description.default)


def is_random(description: Description, value: object) -> bool:
    """Whether a value asks for a random seed."""
    is_seed = isinstance(description, Number) and description.default is None
    return is_seed and isinstance(value, Real) and value == RANDOM_SEED


def default_value(description: Description) -> object:
    if isinstance(description, Number):
        if description.default is None:
            return secrets.randbelow(int(description.most) + 1)
        return int(description.default) if description.whole else float(description.default)
    return description.default


def validate_value(name: str, description: Description, value: object) -> object:
    """The value as its field holds it. Raises InvalidRequest."""
    match description:
        case Text():
            return _validate_text(name, description, value)
        case Switch():
            if not isinstance(value, bool):
                raise InvalidRequest("{label} must be true or false.", name, label=message(description.label))
            return value
        case Choice():
            if value not in description.choices:
                label, choices = message(description.label), ", ".join(description.choices)
                raise InvalidRequest("{label} must be one of: {choices}.", name, label=label, choices=choices)
            return value
        case Number():
            return _validate_number(name, description, value)


def _validate_text(name: str, text: Text, value: object) -> str:
    label = message(text.label)
    if not isinstance(value, str):
        raise InvalidRequest("{label} must be text.", name, label=label)
    if (count := len(value)) > text.max_chars:
        raise InvalidRequest(
            "{label} is {count:,} characters long; shorten it to at most {most:,}.",
            name,
            label=label,
            count=count,
            most=text.max_chars,
        )
    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\r\t":
            shown = f"U+{ord(character):04X}"
            raise InvalidRequest(
                "{label} contains the control character {character}; remove it.", name, label=label, character=shown
            )
    return value


def _validate_number(name: str, number: Number, value: object) -> float:
    label, bounds = message(number.label), {"least": _format_number(number.least), "most": _format_number(number.most)}
    if number.whole:
        wrong_kind = InvalidRequest(
            "{label} must be a whole number from {least} to {most}.", name, label=label, **bounds
        )
    else:
        wrong_kind = InvalidRequest("{label} must be a number from {least} to {most}.", name, label=label, **bounds)
    if isinstance(value, Integral) and not isinstance(value, bool):
        value = int(value)  # numpy's integers are not ints
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (isinstance(value, float) and not math.isfinite(value))
    ):
        raise wrong_kind
    if number.whole and value != int(value):
        raise wrong_kind
    if not number.least <= value <= number.most:
        far = message("far too large") if value > 0 else message("far too small")
        shown = _format_number(value) if abs(value) < 1e15 else far
        raise InvalidRequest(
            "{label} is {value}; choose from {least} to {most}.", name, label=label, value=shown, **bounds
        )
    if number.whole and number.step > 1 and value % number.step:
        below = max(number.least, value // number.step * number.step)
        above = min(number.most, below + number.step)
        numbers = {"value": value, "step": number.step, "below": below, "above": above}
        raise InvalidRequest(
            "{label} is {value}, which is not a multiple of {step}; the nearest are {below} and {above}.",
            name,
            label=label,
            **{key: _format_number(each) for key, each in numbers.items()},
        )
    return int(value) if number.whole else float(value)


def _format_number(value: float) -> str:
    """A number without a needless fraction: 1024, 0.5, 4294967295."""
    return str(int(value)) if value == int(value) else f"{value:g}"
