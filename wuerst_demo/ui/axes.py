"""What a comparison varies, and the values for it as people type them: `1, 2, 3`, `1-4`, `10-30 by 5`, `256x384`.

Whether a value is admitted is not judged here: the checkpoint's limits do that, with their own sentences.

Does not know Gradio, or what is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.request import Limits, Number, admits, from_text
from wuerst_demo.ui import variants

MOST = 36
"""Pictures in one comparison, and so values on one axis."""
LONGEST = 400
"""Characters in which values may be typed."""
SIZE, PROMPT = "size", "prompt"
NUMBERS = ("seed", "prior_steps", "prior_guidance", "decoder_steps", "decoder_guidance")

_DIGITS = r"\d{1,12}(?:\.\d{1,6})?"
_RANGE = re.compile(rf"({_DIGITS})\s*(?:-|–|—|\.\.+|…|to)\s*({_DIGITS})(?:\s*by\s*({_DIGITS}))?")
_SIDES = re.compile(r"(\d{1,12})\s*[x×*]\s*(\d{1,12})")


@dataclass(frozen=True)
class Value:
    """One place on an axis: what it is called, and the fields of a request that it sets."""

    label: str
    fields: Mapping[str, object] = field(hash=False)


@dataclass(frozen=True)
class Axis:
    """A setting with its values, in the order they were typed, each once; there is at least one."""

    name: str
    label: str
    values: tuple[Value, ...]


def varied(limits: Limits) -> dict[str, str]:
    """What can be compared with a checkpoint: names of axes and their labels. A field with one value cannot."""
    names = {PROMPT: "Prompt variants"}
    names |= {name: limits.descriptions[name].label for name in NUMBERS if _varies(limits.number(name))}
    if any(_varies(limits.number(side)) for side in ("width", "height")):
        names[SIZE] = "Size"
    return names


def axis(limits: Limits, name: str, typed: str, prompt: str) -> Axis:
    """The axis `name` with the values typed for it; those of prompt variants stand in the `prompt`.

    Raises InvalidRequest, with the remedy, for a name that `varied` does not have, for no values, for too many, and
    for one that cannot be read or that the limits do not admit.
    """
    label = varied(limits).get(name)
    if label is None:
        raise InvalidRequest("There is no such setting to compare; choose one of the list.")
    if name == PROMPT:
        return Axis(name, label, _prompts(limits, label, prompt))
    if len(typed) > LONGEST:
        raise InvalidRequest(f"The values of {label} are too long; type at most {LONGEST} characters.")
    read = _size if name == SIZE else _number(limits, name)
    values = {value.label: value for item in _items(limits, name, label, typed) if (value := read(item))}
    if not values:
        example = "256, 256x384" if name == SIZE else "1, 2, 3 or 1-4"
        raise InvalidRequest(f"{label} has no values to compare; type some, such as {example}.")
    for value in values.values():
        limits.request(value.fields)
    return Axis(name, label, _few(label, tuple(values.values())))


def usual(limits: Limits, name: str) -> str:
    """Values to begin with, as they are typed: few, and each different from the next to the eye."""
    if name == "seed":
        return "1-3"
    if name == SIZE:
        sides = [limits.number(side) for side in ("width", "height")]
        (wide, high), (least, most) = (_usual(each) for each in sides), (sides[0].least, sides[1].most)
        return f"{wide}x{high}, {int(least)}x{int(most)}"
    number = limits.number(name)
    if name.endswith("guidance"):
        return ", ".join(f"{min(max(each, number.least), number.most):g}" for each in (1, 2, 4))
    return ", ".join(str(max(int(number.least), _usual(number) // part)) for part in (4, 2, 1))


def hint(limits: Limits, name: str) -> str:
    """How values of a setting are typed."""
    if name == SIZE:
        return "In pixels, such as 256x384, or 256 for a square."
    number = limits.number(name)
    return f"Such as 1, 2, 3 or 1-4; {admits(number)}."


def _usual(number: Number) -> int:
    return int(number.least if number.default is None else number.default)


def _varies(number: Number) -> bool:
    return number.least < number.most


def _few(label: str, values: tuple[Value, ...]) -> tuple[Value, ...]:
    if len(values) > MOST:
        raise _many(label, len(values))
    return values


def _many(label: str, count: int) -> InvalidRequest:
    return InvalidRequest(f"{label} has {count:,} values; a comparison has at most {MOST} pictures, so leave some out.")


def _prompts(limits: Limits, label: str, prompt: str) -> tuple[Value, ...]:
    limits.request({PROMPT: prompt})
    if (count := variants.count(prompt)) > MOST:
        raise _many(label, count)
    found = variants.variants(prompt)
    if len(found) < 2:
        raise InvalidRequest("The prompt has no variants; write some into it, such as a {cat|dog} in the snow.", PROMPT)
    return tuple(Value(each.label, {PROMPT: each.prompt}) for each in found)


def _items(limits: Limits, name: str, label: str, typed: str) -> Iterator[str]:
    """The values one by one, ranges written out. Stops at the first range that is too long."""
    number = limits.number("width" if name == SIZE else name)
    step = number.step if number.whole else 1
    for piece in re.split(r"[,;\n]", typed):
        if ranged := _RANGE.fullmatch(piece.strip().lower()):
            first, last = Decimal(ranged[1]), Decimal(ranged[2])
            by = Decimal(ranged[3]) if ranged[3] else Decimal(str(step))
            if not by:
                raise InvalidRequest(f"{label} cannot go on by 0; type a larger step, such as 1-4 by 1.")
            count = int(abs(last - first) / by) + 1
            if count > MOST:
                raise _many(label, count)
            down = -1 if last < first else 1
            yield from (str(first + down * k * by) for k in range(count))
        elif name == SIZE:
            yield piece.strip()
        else:
            yield from piece.split()


def _number(limits: Limits, name: str) -> Callable[[str], Value]:
    description = limits.number(name)

    def read(item: str) -> Value:
        given = from_text(description, item)
        value = getattr(limits.request({name: given}), name)
        return Value(f"{value:g}" if isinstance(value, float) else str(value), {name: value})

    return read


def _size(item: str) -> Value | None:
    """A size from `256x384`, or `256` for a square; None for nothing."""
    if not item:
        return None
    sides = _SIDES.fullmatch(item.lower())
    if sides is None and not re.fullmatch(r"\d{1,12}", item):
        raise InvalidRequest("A size is a side in pixels, such as 256, or width x height, such as 256x384.", "width")
    width, height = (int(sides[1]), int(sides[2])) if sides else (int(item), int(item))
    return Value(f"{width} × {height}", {"width": width, "height": height})
