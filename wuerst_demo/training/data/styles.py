"""Styles: filters on a rendered image, simple enough to be learned from a few thousand images, and easy to see."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps


def apply_style(image: Image.Image, style: str) -> Image.Image:
    """The RGB image in a style of `vocabulary.STYLES`, of the same size; the image itself for ""."""
    return _FILTERS[style](image) if style else image


def _pixel_art(image: Image.Image) -> Image.Image:
    """Squares of 8 pixels in at most 16 colours."""
    width, height = image.size
    small = image.resize((width // 8, height // 8), Image.Resampling.BOX).quantize(16).convert("RGB")
    return small.resize((width, height), Image.Resampling.NEAREST)


def _pencil_sketch(image: Image.Image) -> Image.Image:
    """Dark lines where brightness changes, on white: the image divided by its blur."""
    grey = ImageOps.grayscale(image)
    blurred = np.asarray(grey.filter(ImageFilter.GaussianBlur(5)), np.float32)
    lines = np.asarray(grey, np.float32) / np.maximum(blurred, 8)
    return Image.fromarray((np.clip(1.7 * lines - 0.72, 0, 1) * 255).astype(np.uint8), "L").convert("RGB")


def _watercolour(image: Image.Image) -> Image.Image:
    """Flat pale patches that are darker at their edges."""
    flat = image.filter(ImageFilter.ModeFilter(7)).filter(ImageFilter.GaussianBlur(1))
    edges = ImageOps.grayscale(flat).filter(ImageFilter.FIND_EDGES).filter(ImageFilter.GaussianBlur(1))
    edges = ImageOps.expand(ImageOps.crop(edges, 4), 4, "black")
    pale = np.asarray(flat, np.float32) * 0.62 + 255 * 0.38
    rim = 1 - 0.35 * np.clip(np.asarray(edges, np.float32) / 60, 0, 1)[..., None]
    return Image.fromarray((pale * rim).astype(np.uint8), "RGB")


def _neon(image: Image.Image) -> Image.Image:
    """Bright coloured outlines with a glow, on black."""
    edges = [band.filter(ImageFilter.FIND_EDGES) for band in image.filter(ImageFilter.GaussianBlur(1)).split()]
    lines = Image.merge("RGB", [band.point(lambda v: min(255, v * 4)) for band in edges])
    # FIND_EDGES leaves the outermost pixels as they were
    lines = ImageOps.expand(ImageOps.crop(lines, 2), 2, "black")
    glow = lines.filter(ImageFilter.GaussianBlur(5)).point(lambda v: min(255, int(v * 1.6)))
    dark = image.point(lambda v: v // 10)
    return ImageChops.add(ImageChops.screen(lines, glow), dark)


_FILTERS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "pixel art": _pixel_art,
    "pencil sketch": _pencil_sketch,
    "watercolour": _watercolour,
    "black and white": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "neon": _neon,
}
