"""Contact sheet: a comparison as one labelled image.

Its PNG text carries the request that all cells share, which the page can restore, and both axes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw

from wuerst_demo.events import Result
from wuerst_demo.fields import Description, Number, Switch
from wuerst_demo.request import Limits
from wuerst_demo.web.compare.axes import PROMPTS_AXIS
from wuerst_demo.web.compare.fonts import Font
from wuerst_demo.web.compare.grid import Grid
from wuerst_demo.web.context import SaveImage

COMPARISON_TEXT_KEY = "wuerst_demo comparison"
"""Key of the PNG text that holds both axes, as JSON."""
MAX_SHEET_SIDE_PX = 4096
"""Limit of the cells' total width and height, beyond which all cells are scaled down."""
PAPER_COLOR, INK_COLOR, FAINT_COLOR, EMPTY_CELL_COLOR = "#ffffff", "#1f1b18", "#5d564d", "#cfc7bb"
NO_PROMPT_LABEL = "(no prompt)"
GAP_PX = 8


def save_contact_sheet(grid: Grid, files: Mapping[int, Path], folder: Path, limits: Limits, save: SaveImage) -> Path:
    """Writes the contact sheet of cells' files, by cell number, into `folder`. Raises StorageError."""
    images = {number: partial(Image.open, path) for number, path in files.items()}
    sheet = Result(0, render_contact_sheet(grid, images, limits), grid.base)
    axes = json.dumps(grid.describe_axes(), ensure_ascii=False)
    path = save(sheet, folder, texts={COMPARISON_TEXT_KEY: axes})
    return path.rename(path.with_name(f"comparison-{path.name}"))


def render_contact_sheet(grid: Grid, images: Mapping[int, Callable[[], Image.Image]], limits: Limits) -> Image.Image:
    """The labelled image. `images` open the finished cells by number, one at a time; other cells stay empty."""
    layout = _SheetLayout(grid)
    font, small = layout.font, layout.small_font
    footer = small.wrap(summarize_grid(grid, limits), layout.width - 2 * GAP_PX, max_lines=8)
    height = layout.bottom + GAP_PX + len(footer) * small.line_height + GAP_PX
    sheet = Image.new("RGB", (layout.width, height), PAPER_COLOR)
    draw = ImageDraw.Draw(sheet)

    def write(lines: Sequence[str], x: float, y: float, font: Font, color: str, anchor: str = "la") -> None:
        for k, text in enumerate(lines):
            draw.text((x, y + k * font.line_height), text, color, font.face, anchor=anchor)

    write(layout.titles, GAP_PX, GAP_PX, font, FAINT_COLOR)
    for lines, (x, width) in zip(layout.across, layout.columns, strict=False):
        y = layout.top - GAP_PX // 2 - len(lines) * font.line_height
        write(lines, x + width / 2, y, font, INK_COLOR, "ma")
    for lines, (top, row_height) in zip(layout.down, layout.rows, strict=False):
        write(lines, GAP_PX, top + (row_height - len(lines) * font.line_height) / 2, font, INK_COLOR)
    for number, box in enumerate(layout.boxes()):
        if number in images:
            with images[number]() as opened:
                image, size = opened.convert("RGB"), (box[2] - box[0], box[3] - box[1])
            sheet.paste(image if image.size == size else image.resize(size, Image.Resampling.LANCZOS), box)
        else:
            draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=EMPTY_CELL_COLOR, width=2)
    write(footer, GAP_PX, layout.bottom + GAP_PX, small, FAINT_COLOR)
    return sheet


def list_shared_settings(grid: Grid, limits: Limits) -> list[tuple[str, str, Description]]:
    """Label, value as text and description of each setting that all cells share, besides the prompt."""
    varied = {"images", "prompt"}.union(*(each.fields for each in (grid.across, grid.down) if each))
    return [
        (description.label, _format_value(getattr(grid.base, name), description), description)
        for name, description in limits.descriptions.items()
        if name not in varied and getattr(grid.base, name) != ""
    ]


def summarize_grid(grid: Grid, limits: Limits) -> str:
    """What all cells share, in one line: the prompt, then each setting that does not vary."""
    settings = (f"{label} {value}" for label, value, _ in list_shared_settings(grid, limits))
    return " / ".join([*prompt_in_common(grid), ", ".join(settings), "Würstchen"])


def prompt_in_common(grid: Grid) -> tuple[str, ...]:
    """The prompt that all cells share, or NO_PROMPT_LABEL for an empty one; nothing if each has its own."""
    own = any(axis is not None and axis.name == PROMPTS_AXIS for axis in (grid.across, grid.down))
    return () if own else (grid.base.prompt or NO_PROMPT_LABEL,)


def _format_value(value: object, description: Description) -> str:
    if isinstance(description, Switch):
        return "on" if value else "off"
    if isinstance(description, Number) and isinstance(value, float):
        return f"{value:g}"
    return str(value)


class _SheetLayout:
    """Positions and sizes, in pixels."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        widths = [max(cell.request.width for cell in grid.cells[k :: grid.columns]) for k in range(grid.columns)]
        rows = [grid.cells[k * grid.columns : (k + 1) * grid.columns] for k in range(grid.rows)]
        heights = [max(cell.request.height for cell in row) for row in rows]
        self._scale = min(1.0, MAX_SHEET_SIDE_PX / sum(widths), MAX_SHEET_SIDE_PX / sum(heights))
        widths, heights = ([round(self._scale * each) for each in lengths] for lengths in (widths, heights))
        self.font = font = Font.of(max(14, min(min(widths) // 14, 40)))
        self.small_font = Font.of(max(12, font.size * 3 // 4))
        margin = max(7 * font.size, min(widths[0] // 2, 16 * font.size)) if grid.down else 0
        left = GAP_PX + margin
        self.width = max(left + sum(widths) + GAP_PX * grid.columns, 320)
        down, across = (axis.values if axis else () for axis in (grid.down, grid.across))
        self.down = [font.wrap(each.label, margin - GAP_PX, max_lines=5) for each in down]
        self.across = [font.wrap(each.label, width, max_lines=4) for each, width in zip(across, widths, strict=False)]
        axes = ((grid.across, "across"), (grid.down, "down"))
        titles = [f"{axis.label} {direction}" for axis, direction in axes if axis]
        self.titles = [font.wrap(title, self.width - 2 * GAP_PX, max_lines=1)[0] for title in titles]
        self.top = 2 * GAP_PX + font.line_height * (len(titles) + max(map(len, self.across), default=0))
        """Where the cells begin."""
        self.bottom = self.top + sum(heights) + GAP_PX * (grid.rows - 1)
        """Where the cells end."""
        self.columns, self.rows = _place_spans(widths, left), _place_spans(heights, self.top)
        """Start and length of each."""

    def boxes(self) -> Iterator[tuple[int, int, int, int]]:
        """Left, top, right and bottom of each cell's image, row by row; smaller images are centred."""
        for number, cell in enumerate(self._grid.cells):
            row, column = divmod(number, self._grid.columns)
            (x, width), (y, height) = self.columns[column], self.rows[row]
            own_width, own_height = round(self._scale * cell.request.width), round(self._scale * cell.request.height)
            left, top = x + (width - own_width) // 2, y + (height - own_height) // 2
            yield left, top, left + own_width, top + own_height


def _place_spans(lengths: Sequence[int], start: int) -> tuple[tuple[int, int], ...]:
    """Start and length of each span, with a gap between them."""
    spans = []
    for length in lengths:
        spans.append((start, length))
        start += length + GAP_PX
    return tuple(spans)
