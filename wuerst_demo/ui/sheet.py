"""A comparison as one labelled picture: both axes written on it, what its cells share under it.

Its file says the same in its text: the request that the cells share, so that the page can take it up again, and both
axes.

Does not know Gradio, or what drew the pictures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw

from wuerst_demo.events import Result
from wuerst_demo.request import Description, Limits, Number, Switch
from wuerst_demo.ui.axes import PROMPT, SIZE, Value
from wuerst_demo.ui.grid import Grid
from wuerst_demo.ui.lettering import Letters
from wuerst_demo.ui.studio import Studio

RECORD = "wuerst_demo comparison"
"""The PNG text that holds both axes, as JSON."""
LARGEST = 4096
"""Pixels that the cells may take in either direction; where they take more, all of them are made smaller."""
PAPER, INK, FAINT, EMPTY = "#ffffff", "#1f1b18", "#5d564d", "#cfc7bb"
NO_PROMPT = "(no prompt)"
GAP = 8


def save(studio: Studio, grid: Grid, files: Mapping[int, Path], folder: Path) -> Path:
    """Writes the labelled picture of a comparison into `folder`, from the files of its cells by number.

    Raises StorageError.
    """
    pictures = {number: partial(Image.open, path) for number, path in files.items()}
    sheet = Result(0, drawn(grid, pictures, studio.limits), grid.base)
    record = json.dumps(grid.described(), ensure_ascii=False)
    path = studio.save(sheet, folder, texts={RECORD: record})
    return path.rename(path.with_name(f"comparison-{path.name}"))


def drawn(grid: Grid, pictures: Mapping[int, Callable[[], Image.Image]], limits: Limits) -> Image.Image:
    """The labelled picture. `pictures` open those there are, by the number of their cell, one at a time; other cells
    stay empty."""
    layout = _layout(grid)
    foot = layout.small.wrapped(summary(grid, limits), layout.width - 2 * GAP, 8)
    sheet = Image.new("RGB", (layout.width, layout.bottom + GAP + len(foot) * layout.small.line + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)

    def write(lines: Sequence[str], x: float, y: float, letters: Letters, ink: str, anchor: str = "la") -> None:
        for k, text in enumerate(lines):
            pen.text((x, y + k * letters.line), text, ink, letters.face, anchor=anchor)

    write(layout.titles, GAP, GAP, layout.letters, FAINT)
    for text, (x, width) in zip(layout.across, layout.columns, strict=False):
        write(text, x + width / 2, layout.top - GAP // 2 - len(text) * layout.letters.line, layout.letters, INK, "ma")
    for text, (y, height) in zip(layout.down, layout.rows, strict=False):
        write(text, GAP, y + (height - len(text) * layout.letters.line) / 2, layout.letters, INK)
    for number, box in enumerate(layout.boxes(grid)):
        if number in pictures:
            with pictures[number]() as opened:
                picture, size = opened.convert("RGB"), (box[2] - box[0], box[3] - box[1])
            sheet.paste(picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS), box)
        else:
            pen.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=EMPTY, width=2)
    write(foot, GAP, layout.bottom + GAP, layout.small, FAINT)
    return sheet


def shared(grid: Grid, limits: Limits) -> list[tuple[str, str, Description]]:
    """What the cells share beside the prompt: label and value, in words, of each setting that is not varied."""
    names = {each.name for each in (grid.across, grid.down) if each}
    varied = names | ({"width", "height"} if SIZE in names else set()) | {"images", PROMPT}
    return [
        (description.label, _value(getattr(grid.base, name), description), description)
        for name, description in limits.descriptions.items()
        if name not in varied and getattr(grid.base, name) != ""
    ]


def summary(grid: Grid, limits: Limits) -> str:
    """What the cells share, in one line: the prompt, then each setting that is not varied."""
    said = (f"{label} {value}" for label, value, _ in shared(grid, limits))
    return f"{grid.base.prompt or NO_PROMPT} / {', '.join(said)} / Würstchen"


def _value(value: object, description: Description) -> str:
    if isinstance(description, Switch):
        return "on" if value else "off"
    if isinstance(description, Number) and isinstance(value, float):
        return f"{value:g}"
    return str(value)


@dataclass(frozen=True)
class _Layout:
    """Where everything stands, in pixels. `columns` and `rows` are where each begins and how wide or high it is;
    `scale` is what cells are multiplied by, 1 at most."""

    scale: float
    letters: Letters
    small: Letters
    titles: tuple[str, ...]
    across: tuple[tuple[str, ...], ...]
    down: tuple[tuple[str, ...], ...]
    columns: tuple[tuple[int, int], ...]
    rows: tuple[tuple[int, int], ...]
    width: int
    top: int
    bottom: int

    def boxes(self, grid: Grid) -> Iterator[tuple[int, int, int, int]]:
        """Where each cell's picture goes, row by row: left, top, right, bottom. Smaller ones stand in the middle."""
        for number, cell in enumerate(grid.cells):
            (x, width), (y, height) = self.columns[number % grid.columns], self.rows[number // grid.columns]
            own = (round(self.scale * cell.request.width), round(self.scale * cell.request.height))
            left, top = x + (width - own[0]) // 2, y + (height - own[1]) // 2
            yield left, top, left + own[0], top + own[1]


def _layout(grid: Grid) -> _Layout:
    widths = [max(cell.request.width for cell in grid.cells[k :: grid.columns]) for k in range(grid.columns)]
    rows = [grid.cells[k * grid.columns : (k + 1) * grid.columns] for k in range(grid.rows)]
    heights = [max(cell.request.height for cell in row) for row in rows]
    scale = min(1.0, LARGEST / sum(widths), LARGEST / sum(heights))
    widths, heights = [round(scale * each) for each in widths], [round(scale * each) for each in heights]
    letters = Letters.of(max(14, min(min(widths) // 14, 40)))
    small = Letters.of(max(12, letters.size * 3 // 4))
    down, side = [], 0
    if grid.down:
        side = max(7 * letters.size, min(widths[0] // 2, 16 * letters.size))
        down = [letters.wrapped(each.label, side - GAP, 5) for each in grid.down.values]
    across = [letters.wrapped(each.label, width, 4) for each, width in zip(_values(grid), widths, strict=False)]
    left = GAP + side
    width = max(left + sum(widths) + GAP * grid.columns, 320)
    named = ((grid.across, "across"), (grid.down, "down"))
    titles = tuple(letters.wrapped(f"{axis.label} {way}", width - 2 * GAP, 1)[0] for axis, way in named if axis)
    top = 2 * GAP + letters.line * (len(titles) + max(map(len, across), default=0))
    return _Layout(
        scale,
        letters,
        small,
        titles,
        tuple(across),
        tuple(down),
        _placed(widths, left),
        _placed(heights, top),
        width,
        top,
        top + sum(heights) + GAP * (grid.rows - 1),
    )


def _values(grid: Grid) -> Sequence[Value]:
    return grid.across.values if grid.across else ()


def _placed(lengths: Sequence[int], start: int) -> tuple[tuple[int, int], ...]:
    """Where each of some lengths begins, one after the other with a gap, and the length."""
    placed = []
    for length in lengths:
        placed.append((start, length))
        start += length + GAP
    return tuple(placed)
