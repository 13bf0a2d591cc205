"""A comparison before it is drawn: a request, one or two axes, and the requests of all their crossings.

Does not know Gradio, or what draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.request import Limits, Request
from wuerst_demo.ui import variants
from wuerst_demo.ui.axes import MOST, PROMPT, SIZE, Axis, Value, axis


@dataclass(frozen=True)
class Cell:
    """One crossing: `request` draws its picture alone. `names` are both its values, each with the label of its axis, or
    "" where the value says enough."""

    names: tuple[tuple[str, str], ...]
    request: Request


@dataclass(frozen=True)
class Grid:
    """What all cells share, and what varies: `across` from left to right, `down` from top to bottom.

    One of the axes may be None. `base` has the values that are not varied; its prompt has its variants still in it.
    """

    base: Request
    across: Axis | None
    down: Axis | None
    cells: tuple[Cell, ...]
    """Row by row."""

    @property
    def columns(self) -> int:
        return len(self.across.values) if self.across else 1

    @property
    def rows(self) -> int:
        return len(self.down.values) if self.down else 1

    @cached_property
    def alike(self) -> tuple[Request, ...]:
        """For estimates: one request for all cells that differ in seed and prompt only, with as many images."""
        counted: dict[Request, int] = {}
        for cell in self.cells:
            kind = replace(cell.request, seed=0, prompt="")
            counted[kind] = counted.get(kind, 0) + 1
        return tuple(replace(kind, images=count) for kind, count in counted.items())

    def seconds(self, estimate: Callable[[Request], float | None]) -> float | None:
        """How long all cells will take, at most; None where a part of that is not known."""
        total = 0.0
        for request in self.alike:
            known = estimate(request)
            if known is None:
                return None
            total += known
        return total

    def described(self) -> dict[str, object]:
        """Both axes, for the record in the picture's file."""
        return {
            way: {"setting": each.name, "values": [value.label for value in each.values]}
            for way, each in (("across", self.across), ("down", self.down))
            if each
        }


def plan(limits: Limits, values: Mapping[str, object], across: tuple[str, str], down: tuple[str, str]) -> Grid:
    """The comparison of everything typed for `across` with everything typed for `down`.

    An axis is its name (see `axes.varied`; "" for none) and its values as typed. `values`, untrusted and by field name,
    say the rest; a seed that is neither given nor varied is drawn once, for all cells. Raises InvalidRequest.
    """
    names = (across[0], down[0])
    if names[0] and names[0] == names[1]:
        raise InvalidRequest("Across and down are the same setting; choose another for one of them, or none.")
    if not any(names):
        raise InvalidRequest("Nothing is varied; choose a setting across, down or both.")
    base = _base(limits, values, PROMPT in names)
    axes = [axis(limits, name, typed, base.prompt) if name else None for name, typed in (across, down)]
    columns, rows = ([(each, value) for value in each.values] if each else [None] for each in axes)
    if (count := len(columns) * len(rows)) > MOST:
        raise InvalidRequest(
            f"{len(columns)} across and {len(rows)} down are {count} pictures;"
            f" a comparison has at most {MOST}, so leave some values out."
        )
    cells = tuple(_cell(limits, base, column, row) for row in rows for column in columns)
    return Grid(base, axes[0], axes[1], cells)


def _base(limits: Limits, values: Mapping[str, object], prompts: bool) -> Request:
    """The request that all cells share, with one image. If `prompts` are varied, their braces stay in it."""
    base = limits.request({**values, "images": 1})
    if prompts:
        return base
    found = variants.variants(base.prompt) if variants.count(base.prompt) == 1 else ()
    if not found:
        raise InvalidRequest(
            "The prompt has variants in braces; choose Prompt variants across or down, or write \\{ for a brace.",
            PROMPT,
        )
    return replace(base, prompt=found[0].prompt)


def _cell(limits: Limits, base: Request, *places: tuple[Axis, Value] | None) -> Cell:
    chosen = [place for place in places if place]
    fields = {name: field for _, value in chosen for name, field in value.fields.items()}
    names = tuple(("" if axis.name in (SIZE, PROMPT) else axis.label, value.label) for axis, value in chosen)
    return Cell(names, limits.request({**asdict(base), **fields}))
