"""Axes of a comparison: the settings that can vary, and their values as typed.

Values are typed as `1, 2, 3`, `1-4`, `10-30 by 5` or `256x384`, words such as `ddpm, ddim`, and prompts one a line (see
`prompt_lines`). The checkpoint's limits decide which are valid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.fields import Choice, Number, parse_value
from wuerst_demo.messages import Message, message
from wuerst_demo.prompt_lines import line_error, list_prompt_lines, parse_prompt_line
from wuerst_demo.request import INTERVAL_FIELDS, Limits
from wuerst_demo.web.compare.prompt_variants import count_variants, expand_variants

MAX_CELLS = 36
"""Images in one comparison, and so values on one axis."""
MAX_VALUES_CHARS = 400
MAX_PROMPTS_CHARS = 20_000
"""Characters of the values of the prompts axis."""
SIZE_AXIS, PROMPT_AXIS, PROMPTS_AXIS = "size", "prompt", "prompts"
NUMBER_AXES = ("seed", "prior_steps", "prior_guidance", "decoder_steps", "decoder_guidance", *INTERVAL_FIELDS)
CHOICE_AXES = ("sampler",)

_NUMBER_PATTERN = r"\d{1,12}(?:\.\d{1,6})?"
_RANGE_PATTERN = re.compile(
    rf"({_NUMBER_PATTERN})\s*(?:-|–|—|\.\.+|…|to)\s*({_NUMBER_PATTERN})(?:\s*by\s*({_NUMBER_PATTERN}))?"
)
_SIZE_PATTERN = re.compile(r"(\d{1,12})\s*[x×*]\s*(\d{1,12})")


@dataclass(frozen=True)
class AxisValue:
    """One value of an axis."""

    label: str
    fields: Mapping[str, object] = field(hash=False)
    """The request's fields that it sets."""
    line: int = 0
    """Number of the line that it was typed in, where each has its own; else 0."""


@dataclass(frozen=True)
class Axis:
    """A setting that varies."""

    name: str
    label: str
    values: tuple[AxisValue, ...]
    """At least one, in the order they were typed, without duplicates."""

    @property
    def fields(self) -> set[str]:
        """The request's fields that its values set."""
        return {name for value in self.values for name in value.fields}


def list_axes(limits: Limits) -> dict[str, str]:
    """Name -> label of every axis that the checkpoint supports: a field with one possible value cannot vary."""
    names = {PROMPT_AXIS: "Prompt variants", PROMPTS_AXIS: "Prompts, one a line"}
    varying = (*(name for name in NUMBER_AXES if _has_range(limits.number(name))), *CHOICE_AXES)
    names |= {name: limits.descriptions[name].label for name in varying}
    if any(_has_range(limits.number(side)) for side in ("width", "height")):
        names[SIZE_AXIS] = "Size"
    return names


def parse_axis(limits: Limits, name: str, typed: str, prompt: str) -> Axis:
    """The axis `name` with its values as typed; those of prompt variants are in the `prompt`.

    Raises UserError for a name that `list_axes` does not have, for no or too many values, and for an invalid one.
    """
    axes = list_axes(limits)
    if name not in axes:
        raise InvalidRequest("There is no such setting to compare; choose one of the list.")
    label = message(axes[name])
    if name == PROMPT_AXIS:
        return Axis(name, label, _parse_prompt_variants(limits, label, prompt))
    if len(typed) > (most := max_values_chars(name)):
        raise InvalidRequest(
            "The values of {label} are too long; type at most {most} characters.", label=label, most=most
        )
    values = {value.label: value for value in _parse_values(limits, name, label, typed)}
    if not values:
        examples = {
            SIZE_AXIS: message("256, 256x384"),
            PROMPTS_AXIS: "a cat",
            **{each: default_values(limits, each) for each in CHOICE_AXES},
        }
        example = examples.get(name, message("1, 2, 3 or 1-4"))
        raise InvalidRequest(
            "{label} has no values to compare; type some, such as {example}.", label=label, example=example
        )
    for value in values.values():
        limits.validate_fields(value.fields)
    if len(values) > MAX_CELLS:
        raise _too_many_error(label, len(values))
    return Axis(name, label, tuple(values.values()))


def max_values_chars(name: str) -> int:
    """Most characters of an axis' values."""
    return MAX_PROMPTS_CHARS if name == PROMPTS_AXIS else MAX_VALUES_CHARS


def default_values(limits: Limits, name: str) -> str:
    """Default values of an axis, as a user would type them: a few that look clearly different."""
    if name == PROMPTS_AXIS:
        return "a cat\na dog"
    if name == "seed":
        return "1-3"
    if name == SIZE_AXIS:
        sides = [limits.number(side) for side in ("width", "height")]
        (wide, high), (least, most) = (_default_number(each) for each in sides), (sides[0].least, sides[1].most)
        return f"{wide}x{high}, {int(least)}x{int(most)}"
    if name in CHOICE_AXES:
        return ", ".join(_choices(limits, name))
    number = limits.number(name)
    if name in INTERVAL_FIELDS:
        shares = (0, 0.2, 0.4) if name == INTERVAL_FIELDS[0] else (0.5, 0.75, 1)
        return ", ".join(f"{number.least + each * (number.most - number.least):g}" for each in shares)
    if name.endswith("guidance"):
        return ", ".join(f"{min(max(each, number.least), number.most):g}" for each in (1, 2, 4))
    default = _default_number(number)
    values = {_clamp(number, each) for each in (default // 4, default // 2, default)}
    if len(values) < 3:  # few steps, or the least size
        values.add(_clamp(number, 2 * default))
    return ", ".join(str(each) for each in sorted(values))


def values_help(limits: Limits, name: str) -> Message:
    """Help text on how to type the values of a setting."""
    if name == PROMPTS_AXIS:
        return message("Settings may follow a prompt, such as --seed 7; a line that begins with # is a comment.")
    if name == SIZE_AXIS:
        return message("In pixels, such as 256x384, or 256 for a square.")
    if name in CHOICE_AXES:
        return message("Such as {example}.", example=default_values(limits, name))
    number = limits.number(name)
    return message("Such as 1, 2, 3 or 1-4; {least:.10g} to {most:.10g}.", least=number.least, most=number.most)


def _choices(limits: Limits, name: str) -> tuple[str, ...]:
    description = limits.descriptions[name]
    return description.choices if isinstance(description, Choice) else ()


def _default_number(number: Number) -> int:
    return int(number.least if number.default is None else number.default)


def _clamp(number: Number, value: int) -> int:
    return int(min(max(value, number.least), number.most))


def _has_range(number: Number) -> bool:
    return number.least < number.most


def _too_many_error(label: str, count: int) -> InvalidRequest:
    return InvalidRequest(
        "{label} has {count:,} values; a comparison has at most {most} pictures, so leave some out.",
        label=label,
        count=count,
        most=MAX_CELLS,
    )


def _parse_prompt_variants(limits: Limits, label: str, prompt: str) -> tuple[AxisValue, ...]:
    limits.request({PROMPT_AXIS: prompt})
    if (count := count_variants(prompt)) > MAX_CELLS:
        raise _too_many_error(label, count)
    found = expand_variants(prompt)
    if len(found) < 2:
        raise InvalidRequest(
            "The prompt has no variants; write some into it, such as a {cat|dog} in the snow.", PROMPT_AXIS
        )
    return tuple(AxisValue(each.label, {PROMPT_AXIS: each.prompt}) for each in found)


def _parse_values(limits: Limits, name: str, label: str, typed: str) -> Iterator[AxisValue]:
    """The values one by one. Raises UserError for what cannot be one."""
    if name == PROMPTS_AXIS:
        yield from (_parse_prompt_line(limits, number, line) for number, line in list_prompt_lines(typed))
        return
    if name in CHOICE_AXES:
        yield from (AxisValue(each, {name: each}) for each in re.split(r"[,;\s]+", typed.lower()) if each)
        return
    parse = _parse_size if name == SIZE_AXIS else _number_parser(limits, name)
    yield from (value for item in _split_values(limits, name, label, typed) if (value := parse(item)))


def _parse_prompt_line(limits: Limits, number: int, line: str) -> AxisValue:
    """The value of a line. Raises UserError, naming the line."""
    try:
        fields = parse_prompt_line(line)
        if limits.request(fields).images > 1:
            raise InvalidRequest("A comparison has one picture a cell; leave --images out.", "images")
    except InvalidRequest as error:
        raise line_error(number, error) from error
    return AxisValue(line, fields, number)


def _split_values(limits: Limits, name: str, label: str, typed: str) -> Iterator[str]:
    """The values one by one, with ranges expanded. Raises InvalidRequest at the first range that is too long."""
    number = limits.number("width" if name == SIZE_AXIS else name)
    step = number.step if number.whole else 1
    for piece in re.split(r"[,;\n]", typed):
        if ranged := _RANGE_PATTERN.fullmatch(piece.strip().lower()):
            first, last = Decimal(ranged[1]), Decimal(ranged[2])
            by = Decimal(ranged[3]) if ranged[3] else Decimal(str(step))
            if not by:
                raise InvalidRequest(
                    "{label} cannot vary in steps of 0; type a larger step, such as 1-4 by 1.", label=label
                )
            count = int(abs(last - first) / by) + 1
            if count > MAX_CELLS:
                raise _too_many_error(label, count)
            down = -1 if last < first else 1
            yield from (str(first + down * k * by) for k in range(count))
        elif name == SIZE_AXIS:
            yield piece.strip()
        else:
            yield from piece.split()


def _number_parser(limits: Limits, name: str) -> Callable[[str], AxisValue]:
    description = limits.number(name)

    def parse(item: str) -> AxisValue:
        value = limits.validate_fields({name: parse_value(description, item)})[name]
        return AxisValue(f"{value:g}" if isinstance(value, float) else str(value), {name: value})

    return parse


def _parse_size(item: str) -> AxisValue | None:
    """The size in `256x384`, or `256` for a square; None for an empty item."""
    if not item:
        return None
    sides = _SIZE_PATTERN.fullmatch(item.lower())
    if sides is None and not re.fullmatch(r"\d{1,12}", item):
        raise InvalidRequest("A size is a side in pixels, such as 256, or width x height, such as 256x384.", "width")
    width, height = (int(sides[1]), int(sides[2])) if sides else (int(item), int(item))
    return AxisValue(f"{width} × {height}", {"width": width, "height": height})
