"""Presets for prompt and size: style phrases (static/style_presets.toml) and one size for each common aspect ratio."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from wuerst_demo.fields import Number
from wuerst_demo.request import Limits
from wuerst_demo.web.generate.prompt_readout import find_unknown_words

ASPECT_RATIOS = ((1, 1), (4, 3), (3, 4), (3, 2), (2, 3), (16, 9), (9, 16))
"""Width and height of the ratios that are offered."""
MAX_RATIO_DEVIATION = 0.06
"""Relative deviation of a size from its ratio: 1408 x 1024 is 3 % off 4:3."""


@dataclass(frozen=True)
class StylePreset:
    name: str
    words: str
    """The phrase that is appended to a prompt."""


@dataclass(frozen=True)
class SizePreset:
    name: str
    """The aspect ratio, such as "3:2"."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""

    @property
    def elem_id(self) -> str:
        """The id of its button."""
        return f"shape-{self.name.replace(':', '-')}"


def load_styles(file: Path, vocabulary: Sequence[str] = ()) -> tuple[StylePreset, ...]:
    """The styles of a file that use no word beyond `vocabulary` (empty: all), in their order.

    Raises KeyError, TypeError or tomllib.TOMLDecodeError for a malformed file.
    """
    styles = [StylePreset(**each) for each in tomllib.loads(file.read_text(encoding="utf-8"))["style"]]
    return tuple(each for each in styles if not find_unknown_words(each.words, vocabulary))


def apply_style(prompt: str, words: str) -> str:
    """The prompt followed by a style's words, unless it has them already. "at night" and such need no comma."""
    kept = prompt.rstrip().rstrip(",")
    if words in kept:
        return prompt
    if not kept:
        return words
    return f"{kept} {words}" if words.split()[0] in ("at", "by", "in", "on") else f"{kept}, {words}"


def list_size_presets(limits: Limits) -> tuple[SizePreset, ...]:
    """For each possible ratio the size whose area is nearest to the default size; none if a side is fixed."""
    width, height = limits.number("width"), limits.number("height")
    if width.least == width.most or height.least == height.most:
        return ()
    default_area = (width.default or width.least) * (height.default or height.least)
    found: dict[tuple[int, int], str] = {}
    for across, down in ASPECT_RATIOS:
        near = [
            (w, h)
            for w, h in product(_side_range(width), _side_range(height))
            if abs(w * down / (h * across) - 1) < MAX_RATIO_DEVIATION
        ]
        if near:
            best = min(near, key=lambda size: (abs(size[0] * size[1] - default_area), size))
            found.setdefault(best, f"{across}:{down}")
    return tuple(SizePreset(name, *size) for size, name in found.items())


def _side_range(number: Number) -> range:
    return range(int(number.least), int(number.most) + 1, int(number.step))
