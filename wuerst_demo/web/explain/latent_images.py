"""Latents as images: their main differences and channel maps at each step, as strips of small frames.

All frames of a strip share the scale of the last one, so that they can be compared. Latents are float arrays (C, h, w),
as in `events.StageLatents`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wuerst_demo.web.explain.colormap import apply_colormap

FloatArray = NDArray[np.floating[Any]]
PixelArray = NDArray[np.uint8]
Format = Literal["PNG", "WEBP"]
CHANNELS_PER_ROW = 4
"""Maps in a row of `render_channel_maps`."""
GAP_COLOR = 255, 255, 255
"""Between maps; transparent in a strip. The color map does not have it."""


@dataclass(frozen=True)
class PrincipalComponent:
    """Steps by the direction in which the numbers of the last one vary most from position to position."""

    frames: Sequence[PixelArray]
    """One frame (h, w, 3) a step, from dark blue to yellow."""
    variance_share: float
    """Share of the last step's variance that lies in this direction, 0 to 1."""
    lowest: tuple[int, int]
    """Row and column, from 0, of the last step's darkest position."""
    highest: tuple[int, int]
    """Row and column, from 0, of the last step's brightest position."""


def project_to_component(steps: Sequence[FloatArray]) -> PrincipalComponent:
    """The first principal component of steps (C, h, w), of which the last one sets direction and scale."""
    final = _flatten(steps[-1])
    mean = final.mean(axis=0)
    _, deviations, components = np.linalg.svd(final - mean, full_matrices=False)
    # The decomposition leaves the sign open; here the stronger side is bright.
    component = components[0] * (-1 if components[0].sum() < 0 else 1)
    projected = (final - mean) @ component
    low, high = np.percentile(projected, (2, 98))
    frames = []
    for step in steps:
        share = ((_flatten(step) - mean) @ component - low) / (high - low if high > low else 1)
        frames.append(apply_colormap(_round_shades(np.clip(share, 0, 1), 64).reshape(step.shape[1:])))
    variances = deviations**2
    extremes = (find_position(pick(projected), steps[-1].shape[1:]) for pick in (np.argmin, np.argmax))
    return PrincipalComponent(frames, float(variances[0] / (variances.sum() or 1)), *extremes)


def find_position(index: np.intp, shape: Sequence[int]) -> tuple[int, int]:
    """Row and column of a position, all from 0, that is counted row by row."""
    return int(index) // shape[1], int(index) % shape[1]


def render_channel_maps(steps: Sequence[FloatArray]) -> list[PixelArray]:
    """Frames (H, W, 3) of steps (C, h, w), each of C maps one pixel apart: blue below zero, yellow above."""
    limit = map_limit(steps[-1])
    frames = []
    for step in steps:
        count, height, width = step.shape
        rows = -(-count // CHANNELS_PER_ROW)
        sheet = np.full((rows * (height + 1) - 1, CHANNELS_PER_ROW * (width + 1) - 1, 3), GAP_COLOR, dtype=np.uint8)
        for k, plane in enumerate(step):
            share = _round_shades(np.clip(plane / limit, -1, 1), 12)
            y, x = k // CHANNELS_PER_ROW * (height + 1), k % CHANNELS_PER_ROW * (width + 1)
            sheet[y : y + height, x : x + width] = apply_colormap((share + 1) / 2)
        frames.append(sheet)
    return frames


def map_limit(latents: FloatArray) -> float:
    """The value, in either direction, that has the strongest color in maps of these latents."""
    return float(np.percentile(np.abs(latents), 98)) or 1.0


def fit_to_image(steps: Sequence[FloatArray], image: Image.Image) -> list[PixelArray]:
    """Frames (h, w, 3) of steps (C, h, w): the linear map to colours that fits the last step to `image` best."""
    height, width = steps[-1].shape[1:]
    target = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BOX), dtype=np.float64) / 255
    mapping = np.linalg.lstsq(_flatten_with_bias(steps[-1]), target.reshape(-1, 3), rcond=None)[0]
    return [_to_bytes((_flatten_with_bias(step) @ mapping).reshape(height, width, 3)) for step in steps]


def render_strip(frames: Sequence[PixelArray], format: Format) -> str:
    """The frames side by side in one image, as a data URI. PNG is lossless."""
    pixels = np.concatenate(frames, axis=1)
    return encode_data_uri(_reduce_to_palette(pixels) if format == "PNG" else Image.fromarray(pixels), format)


def encode_data_uri(image: Image.Image, format: Format) -> str:
    file = io.BytesIO()
    image.save(file, format, optimize=True, quality=85)  # the first is for PNG, the second for WebP
    return f"data:image/{format.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def sample_indices(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 .. count - 1, evenly spaced, with the first and the last."""
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def _reduce_to_palette(pixels: PixelArray) -> Image.Image:
    """The same pixels (H, W, 3), with a palette if there are few colours: a third of the size, or less, and gaps."""
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    colors, indices = np.unique(packed, return_inverse=True)
    if len(colors) > 256:
        return Image.fromarray(pixels)
    image = Image.fromarray(indices.reshape(packed.shape).astype(np.uint8), "P")
    palette = [tuple(int(color) >> shift & 255 for shift in (16, 8, 0)) for color in colors]
    image.putpalette([value for color in palette for value in color])
    if GAP_COLOR in palette:
        image.info["transparency"] = palette.index(GAP_COLOR)
    return image


def _round_shades(share: NDArray[np.floating[Any]], shades: int) -> NDArray[np.floating[Any]]:
    """Few shades look the same and make small files."""
    return np.round(share * shades) / shades


def _flatten(step: FloatArray) -> NDArray[np.float64]:
    """(C, h, w) -> (h * w, C)"""
    return step.reshape(step.shape[0], -1).T.astype(np.float64)


def _flatten_with_bias(step: FloatArray) -> NDArray[np.float64]:
    """(C, h, w) -> (h * w, C + 1), the last column 1"""
    flat = _flatten(step)
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)


def _to_bytes(share: NDArray[np.float64]) -> PixelArray:
    return np.round(np.clip(share, 0, 1) * 255).astype(np.uint8)
