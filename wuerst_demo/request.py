"""What one person asks for, and what may be asked.

`Request` is frozen, validated and complete. Each field carries its own description: label, help and the bounds that
hold for everybody. `Limits` is what one checkpoint makes of them: narrower bounds and its own defaults. Sliders, the
command line, the web API, PNG text and the README's table all read these descriptions; none repeats them.

Does not know torch, Gradio, checkpoints or files.
"""

from __future__ import annotations

import dataclasses
import math
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from types import MappingProxyType
from typing import Any, Literal

from wuerst_demo.errors import InvalidRequest

Schedule = Literal["two-part", "linear"]
SEEDS = 2**32
"""Seeds are 0 to SEEDS - 1, and counting on from the last one starts again at 0."""


@dataclass(frozen=True)
class Text:
    """Describes a field of free text: at most `longest` characters."""

    label: str
    help: str
    default: str = ""
    longest: int = 2000


@dataclass(frozen=True)
class Switch:
    """Describes a field that is on or off."""

    label: str
    help: str
    default: bool


@dataclass(frozen=True)
class Choice:
    """Describes a field that takes one of a few words."""

    label: str
    help: str
    default: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Number:
    """Describes a field of numbers: `least` <= value <= `most`, counted in steps of `step` from 0.

    `whole` fields hold int, the others float. A field whose `default` is None draws one at random (the seed).
    """

    label: str
    help: str
    default: float | None
    least: float
    most: float
    step: float = 1
    whole: bool = True


Description = Text | Switch | Choice | Number

SWITCHED: Mapping[str, bool] = MappingProxyType(
    {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
)
"""How a switch may be written in words, in lower case."""


def _described(description: Description) -> Any:
    """A dataclass field that carries its description."""
    return field(metadata={"description": description})


@dataclass(frozen=True, kw_only=True)
class Request:
    """One person's wish, complete: drawing it twice gives the same pictures.

    Build one with `Limits.request`, which checks every value; the constructor itself checks nothing.
    Sizes are in pixels. Image k of the request is drawn with seed `seed + k` modulo 2**32.
    """

    prompt: str = _described(Text("Prompt", "What the picture should show."))
    negative_prompt: str = _described(
        Text("Negative prompt", "What it should not show. Acts only where guidance is above 1.")
    )
    weighting: bool = _described(
        Switch(
            "Prompt weighting", "Read (cat)1.5, cat++ and cat-- as weights. Off: take every character as it is.", True
        )
    )
    width: int = _described(Number("Width", "In pixels, in steps of 128.", 1024, 128, 2048, 128))
    height: int = _described(Number("Height", "In pixels, in steps of 128.", 1024, 128, 2048, 128))
    images: int = _described(Number("Pictures", "How many, each with a seed of its own: seed, seed + 1, ...", 1, 1, 8))
    seed: int = _described(
        Number(
            "Seed",
            "The same seed and settings draw the same picture. Without one, it is drawn at random.",
            None,
            0,
            SEEDS - 1,
        )
    )
    prior_steps: int = _described(
        Number(
            "Prior steps",
            "Evaluations of the prior, which composes the picture. More are slower and finer.",
            29,
            1,
            100,
        )
    )
    prior_schedule: Schedule = _described(
        Choice(
            "Prior schedule",
            "Two-part spends two thirds of its steps on the first third of the way, where the picture is composed.",
            "two-part",
            ("two-part", "linear"),
        )
    )
    prior_guidance: float = _described(
        Number(
            "Prior guidance",
            "How closely the prior follows the prompt. 1 or less: no guidance, half the work.",
            4.0,
            0,
            20,
            0.1,
            whole=False,
        )
    )
    decoder_steps: int = _described(
        Number("Decoder steps", "Evaluations of the decoder, which draws the detail.", 12, 1, 100)
    )
    decoder_guidance: float = _described(
        Number(
            "Decoder guidance",
            "How closely the decoder follows the prompt. 1 or less: no guidance, half the work.",
            0.0,
            0,
            20,
            0.1,
            whole=False,
        )
    )

    def image(self, k: int) -> Request:
        """The request that draws image k (from 0) of this one alone: its seed, one image."""
        return dataclasses.replace(self, seed=(self.seed + k) % SEEDS, images=1)


DESCRIPTIONS: Mapping[str, Description] = MappingProxyType(
    {f.name: f.metadata["description"] for f in dataclasses.fields(Request)}
)
"""Field name of `Request` -> its description, in the order of the fields."""


@dataclass(frozen=True)
class Limits:
    """What one checkpoint can be asked: a description for every field of `Request`, narrowed, with its own defaults."""

    descriptions: Mapping[str, Description] = field(default_factory=lambda: DESCRIPTIONS)

    def narrow(self, **changes: Mapping[str, Any]) -> Limits:
        """These limits with some descriptions changed: `narrow(width={"least": 256, "default": 512})`.

        Bounds only ever get narrower than those on `Request`; a default outside them is moved to the nearest bound.
        """
        narrowed = dict(self.descriptions)
        for name, change in changes.items():
            wanted = dataclasses.replace(narrowed[name], **change)
            outer = DESCRIPTIONS[name]
            if isinstance(wanted, Number) and isinstance(outer, Number):
                least, most = max(wanted.least, outer.least), min(wanted.most, outer.most)
                default = wanted.default if wanted.default is None else min(max(wanted.default, least), most)
                wanted = dataclasses.replace(wanted, least=least, most=most, default=default)
            narrowed[name] = wanted
        return Limits(MappingProxyType(narrowed))

    def number(self, name: str) -> Number:
        """The description of a field of numbers. TypeError for any other field."""
        description = self.descriptions[name]
        if not isinstance(description, Number):
            raise TypeError(f"{name} is not a number")
        return description

    def request(self, values: Mapping[str, object]) -> Request:
        """A complete request from untrusted values by field name; what is missing (or None) takes its default.

        Raises InvalidRequest, naming the field and the remedy, for an unknown field, a value of the wrong kind, NaN,
        a number out of bounds or off its grid, text that is too long or holds control characters.
        """
        unknown = [str(name) for name in values if name not in self.descriptions]
        if unknown:
            known = ", ".join(self.descriptions)
            shown = " ".join(unknown[0].split())[:40]
            raise InvalidRequest(f"There is no setting '{shown}'. The settings are: {known}.", unknown[0])
        read: dict[str, Any] = {}
        for name, description in self.descriptions.items():
            given = values.get(name)
            read[name] = _default(description) if given is None else _check(name, description, given)
        return Request(**read)


def from_text(description: Description, text: str) -> object:
    """What a text from a command line, an environment variable or a foreign file stands for.

    Does not judge: what cannot be read stays the text it was, and `Limits.request` says what it should have been.
    """
    match description:
        case Switch():
            return SWITCHED.get(text.strip().lower(), text)
        case Number():
            # int first, so that a seed keeps every digit; "1e400" and "nan" become floats that no bounds admit.
            for kind in (int, float):
                try:
                    return kind(text)
                except ValueError:
                    continue
            return text
        case _:
            return text


def admits(description: Description) -> str:
    """What a field takes, in words: `128 to 2048 by 128`."""
    match description:
        case Text():
            return f"up to {description.longest:,} characters"
        case Switch():
            return "on or off"
        case Choice():
            return " or ".join(description.choices)
        case Number():
            step = f" by {_plain(description.step)}" if description.whole and description.step > 1 else ""
            return f"{_plain(description.least)} to {_plain(description.most)}{step}"


def default_of(description: Description) -> str:
    """What a field is when nothing was given, in words."""
    match description:
        case Text():
            return description.default or "empty"
        case Switch():
            return "on" if description.default else "off"
        case Choice():
            return description.default
        case Number():
            return "random" if description.default is None else _plain(description.default)


def _default(description: Description) -> object:
    if isinstance(description, Number):
        if description.default is None:
            return secrets.randbelow(int(description.most) + 1)
        return int(description.default) if description.whole else float(description.default)
    return description.default


def _check(name: str, description: Description, value: object) -> object:
    """One value as its field holds it, or InvalidRequest."""
    match description:
        case Text():
            return _check_text(name, description, value)
        case Switch():
            if not isinstance(value, bool):
                raise InvalidRequest(f"{description.label} must be true or false.", name)
            return value
        case Choice():
            if value not in description.choices:
                raise InvalidRequest(f"{description.label} must be one of: {', '.join(description.choices)}.", name)
            return value
        case Number():
            return _check_number(name, description, value)


def _check_text(name: str, text: Text, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"{text.label} must be text.", name)
    if len(value) > text.longest:
        raise InvalidRequest(
            f"{text.label} is {len(value):,} characters long; shorten it to at most {text.longest:,}.", name
        )
    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\r\t":
            raise InvalidRequest(f"{text.label} holds the control character U+{ord(character):04X}; remove it.", name)
    return value


def _check_number(name: str, number: Number, value: object) -> float:
    kind = "a whole number" if number.whole else "a number"
    bounds = f"{_plain(number.least)} to {_plain(number.most)}"
    if isinstance(value, Integral) and not isinstance(value, bool):
        value = int(value)  # numpy's whole numbers are no ints
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (isinstance(value, float) and not math.isfinite(value))
    ):
        raise InvalidRequest(f"{number.label} must be {kind} from {bounds}.", name)
    if number.whole and value != int(value):
        raise InvalidRequest(f"{number.label} must be {kind} from {bounds}.", name)
    if not number.least <= value <= number.most:
        shown = _plain(value) if abs(value) < 1e15 else f"far too {'large' if value > 0 else 'small'}"
        raise InvalidRequest(f"{number.label} is {shown}; choose from {bounds}.", name)
    if number.whole and number.step > 1 and value % number.step:
        below = max(number.least, value // number.step * number.step)
        above = min(number.most, below + number.step)
        raise InvalidRequest(
            f"{number.label} is {_plain(value)}, which is not a multiple of {_plain(number.step)};"
            f" the nearest are {_plain(below)} and {_plain(above)}.",
            name,
        )
    return int(value) if number.whole else float(value)


def _plain(value: float) -> str:
    """A number without a needless fraction: 1024, 0.5, 4294967295."""
    return str(int(value)) if value == int(value) else f"{value:g}"
