"""Words on a picture: letters of the system's or, where it has none we know, those that Pillow brings.

Does not know what is written.
"""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass

from PIL import ImageFont

_FONTS = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf", "NotoSans-Regular.ttf")


@dataclass(frozen=True)
class Letters:
    """Letters of one size; `line` is the distance between lines in pixels. `narrow` ones end with ASCII."""

    face: ImageFont.FreeTypeFont | ImageFont.ImageFont
    size: int
    narrow: bool

    @classmethod
    def of(cls, size: int, fonts: tuple[str, ...] = _FONTS) -> Letters:
        """The first of `fonts` that the system has, else Pillow's own; `size` in pixels."""
        for name in fonts:
            try:
                return cls(ImageFont.truetype(name, size), size, narrow=False)
            except OSError:
                continue
        return cls(ImageFont.load_default(size), size, narrow=True)

    @property
    def line(self) -> int:
        return self.size * 5 // 4

    def legible(self, text: str) -> str:
        """The text on one line, as these letters can write it."""
        text = " ".join(text.split())
        if not self.narrow:
            return text
        apart = unicodedata.normalize("NFKD", text.replace("×", "x"))
        return "".join(each for each in apart if not unicodedata.combining(each)).encode("ascii", "replace").decode()

    def wrapped(self, text: str, width: int, most: int) -> tuple[str, ...]:
        """The text in lines no wider than `width` pixels, `most` of them; what does not fit ends in dots."""
        lines: list[str] = []
        for word in self.legible(text).split(" "):
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self._width(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        cut = len(lines) > most
        return tuple(self._fitting(each, width, cut and k == most - 1) for k, each in enumerate(lines[:most]))

    def _width(self, text: str) -> float:
        return self.face.getlength(text)

    def _fitting(self, line: str, width: int, dots: bool) -> str:
        if self._width(line + "..." * dots) <= width:
            return line + "..." * dots
        kept = bisect_right(range(1, len(line)), width, key=lambda count: math.ceil(self._width(line[:count] + "...")))
        return line[:kept] + "..."
