"""Text on images: a system font or, without a known one, the font that ships with Pillow."""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass

from PIL import ImageFont

_FONT_FILES = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf", "NotoSans-Regular.ttf")


@dataclass(frozen=True)
class Font:
    """A font of one size."""

    face: ImageFont.FreeTypeFont | ImageFont.ImageFont
    size: int
    """Pixels."""
    ascii_only: bool

    @classmethod
    def of(cls, size: int, names: tuple[str, ...] = _FONT_FILES) -> Font:
        """The first of `names` that the system has, else Pillow's own."""
        for name in names:
            try:
                return cls(ImageFont.truetype(name, size), size, ascii_only=False)
            except OSError:
                continue
        return cls(ImageFont.load_default(size), size, ascii_only=True)

    @property
    def line_height(self) -> int:
        return self.size * 5 // 4

    def encode(self, text: str) -> str:
        """The text on one line, in characters that the font has."""
        text = " ".join(text.split())
        if not self.ascii_only:
            return text
        decomposed = unicodedata.normalize("NFKD", text.replace("×", "x"))
        plain = "".join(each for each in decomposed if not unicodedata.combining(each))
        return plain.encode("ascii", "replace").decode()

    def wrap(self, text: str, width: int, max_lines: int) -> tuple[str, ...]:
        """The text in lines of at most `width` pixels; what does not fit is replaced by dots."""
        lines: list[str] = []
        for word in self.encode(text).split(" "):
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self._width(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        cut = len(lines) > max_lines
        return tuple(self._fit(line, width, cut and k == max_lines - 1) for k, line in enumerate(lines[:max_lines]))

    def _width(self, text: str) -> float:
        return self.face.getlength(text)

    def _fit(self, line: str, width: int, dots: bool) -> str:
        if self._width(line + "..." * dots) <= width:
            return line + "..." * dots
        kept = bisect_right(range(1, len(line)), width, key=lambda count: math.ceil(self._width(line[:count] + "...")))
        return line[:kept] + "..."
