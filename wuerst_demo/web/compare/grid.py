"""Grid of a comparison: one or two axes, and the request of each of their cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.messages import message
from wuerst_demo.request import Limits, Request
from wuerst_demo.web.compare.axes import MAX_CELLS, PROMPT_AXIS, PROMPTS_AXIS, SIZE_AXIS, Axis, AxisValue, parse_axis
from wuerst_demo.web.compare.prompt_variants import count_variants, expand_variants

UNNAMED_AXES = (SIZE_AXIS, PROMPT_AXIS, PROMPTS_AXIS)
"""Axes whose values are clear without their names."""


@dataclass(frozen=True)
class Cell:
    """One image of a comparison."""

    names: tuple[tuple[str, str], ...]
    """Label of the axis, "" if the value is clear without it, and of the value, for each axis."""
    request: Request
    """Generates this image alone."""
    line: int = 0
    """Number of the line that its prompt was typed in; 0 for the prompt of all."""


@dataclass(frozen=True)
class Grid:
    """A validated comparison. At least one axis is not None."""

    base: Request
    """What all cells share. If prompt variants are an axis, its prompt still contains them."""
    across: Axis | None
    """Varies from left to right."""
    down: Axis | None
    """Varies from top to bottom."""
    cells: tuple[Cell, ...]
    """Row by row."""

    @property
    def columns(self) -> int:
        return len(self.across.values) if self.across else 1

    @property
    def rows(self) -> int:
        return len(self.down.values) if self.down else 1

    @cached_property
    def merged_requests(self) -> tuple[Request, ...]:
        """For estimates: cells that differ in seed and prompt only, merged into one request of several images."""
        counts = Counter(replace(cell.request, seed=0, prompt="") for cell in self.cells)
        return tuple(replace(request, images=count) for request, count in counts.items())

    def estimate_seconds(self, estimate: Callable[[Request], float | None]) -> float | None:
        """Upper bound of the duration of all cells, from `estimate` of one request; None if part of it is unknown."""
        total = 0.0
        for request in self.merged_requests:
            seconds = estimate(request)
            if seconds is None:
                return None
            total += seconds
        return total

    def describe_axes(self) -> dict[str, object]:
        """Both axes as JSON data, for the contact sheet's file."""
        return {
            direction: {"setting": axis.name, "values": [value.label for value in axis.values]}
            for direction, axis in (("across", self.across), ("down", self.down))
            if axis
        }


def plan_grid(limits: Limits, values: Mapping[str, object], across: tuple[str, str], down: tuple[str, str]) -> Grid:
    """The grid of all combinations of two axes, each a name ("" for none) and its values as typed.

    `values`, untrusted and by field name, are for all cells; a seed that is neither given nor an axis is chosen once.
    Raises UserError.
    """
    names = (across[0], down[0])
    if names[0] and names[0] == names[1]:
        raise InvalidRequest("Across and down are the same setting; choose another for one of them, or none.")
    if not any(names):
        raise InvalidRequest("Nothing varies; choose a setting across, down or both.")
    base = _base_request(limits, values, PROMPT_AXIS in names, PROMPTS_AXIS in names)
    axes = [parse_axis(limits, name, typed, base.prompt) if name else None for name, typed in (across, down)]
    _reject_overlap(limits, *(each for each in axes if each))
    columns, rows = ([(each, value) for value in each.values] if each else [None] for each in axes)
    if (count := len(columns) * len(rows)) > MAX_CELLS:
        raise InvalidRequest(
            "{across} across and {down} down are {count} pictures; a comparison has at most {most}, so"
            " leave some values out.",
            across=len(columns),
            down=len(rows),
            count=count,
            most=MAX_CELLS,
        )
    cells = tuple(_make_cell(limits, base, column, row) for row in rows for column in columns)
    return Grid(base, axes[0], axes[1], cells)


def _reject_overlap(limits: Limits, *axes: Axis) -> None:
    """Raise InvalidRequest if two axes set the same field."""
    for name in sorted(set.intersection(*(axis.fields for axis in axes))) if len(axes) > 1 else ():
        label = message(limits.descriptions[name].label)
        raise InvalidRequest("{label} varies both across and down; leave it out of one of them.", name, label=label)


def _base_request(limits: Limits, values: Mapping[str, object], variants: bool, lines: bool) -> Request:
    """The request that all cells share. With variants as an axis, its prompt keeps them in braces; with lines, it has
    no prompt."""
    if lines and not variants:
        return limits.request({**values, "prompt": "", "images": 1})
    base = limits.request({**values, "images": 1})
    if variants:
        return base
    found = expand_variants(base.prompt) if count_variants(base.prompt) == 1 else ()
    if not found:
        raise InvalidRequest(
            "The prompt has variants in braces; choose Prompt variants across or down, or write \\{ for a brace.",
            PROMPT_AXIS,
        )
    return replace(base, prompt=found[0].prompt)


def _make_cell(limits: Limits, base: Request, *positions: tuple[Axis, AxisValue] | None) -> Cell:
    chosen = [position for position in positions if position]
    fields = {name: field for _, value in chosen for name, field in value.fields.items()}
    names = tuple(("" if axis.name in UNNAMED_AXES else axis.label, value.label) for axis, value in chosen)
    line = next((value.line for _, value in chosen if value.line), 0)
    return Cell(names, limits.request({**base.to_dict(), **fields}), line)
