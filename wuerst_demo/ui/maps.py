"""Latents as pictures: what prior and decoder saw at each step, in colours, as strips of small frames.

All frames of a strip share one scale, that of the last one, so that they can be compared. Works on float arrays
(C, h, w), as in `events.Stages`, and on PIL images; does not know what they are of, or who shows them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.floating[Any]]
Pixels = NDArray[np.uint8]
ACROSS = 4
"""Channels beside each other in a frame of `channels`."""
_COLD, _MID, _WARM = np.array([52, 96, 168]), np.array([247, 244, 238]), np.array([190, 66, 34])


def composed(steps: Sequence[Floats]) -> list[Pixels]:
    """Each of `steps`, (C, h, w) with C >= 3, in false colours, (h, w, 3): the three directions in which the last
    one's positions differ most become red, green and blue."""
    final = _flat(steps[-1])
    middle = final.mean(axis=0)
    directions = np.linalg.svd(final - middle, full_matrices=False)[2][:3]
    # A direction and its opposite are the same to the decomposition; here the stronger side is bright.
    directions *= np.where(directions.sum(axis=1, keepdims=True) < 0, -1, 1)
    there = (final - middle) @ directions.T
    low, high = np.percentile(there, (2, 98), axis=0)
    scale = np.where(high > low, high - low, 1)
    frames = []
    for step in steps:
        seen = ((_flat(step) - middle) @ directions.T - low) / scale
        frames.append(_bytes(seen.reshape(*step.shape[1:], -1)))
    return [_three(frame) for frame in frames]


def channels(steps: Sequence[Floats]) -> list[Pixels]:
    """Each of `steps`, (C, h, w), as C maps, ACROSS to a row, a pixel apart, in one frame (H, W, 3): blue below zero,
    red above, paper at zero."""
    reach = float(np.percentile(np.abs(steps[-1]), 98)) or 1.0
    frames = []
    for step in steps:
        count, height, width = step.shape
        rows = -(-count // ACROSS)
        sheet = np.full((rows * (height + 1) - 1, ACROSS * (width + 1) - 1, 3), 255, dtype=np.uint8)
        for k, plane in enumerate(step):
            # Few shades: they look the same and make small files.
            share = np.round(np.clip(plane / reach, -1, 1) * 12)[..., None] / 12
            color = _MID + np.where(share < 0, _COLD - _MID, _WARM - _MID) * np.abs(share)
            y, x = k // ACROSS * (height + 1), k % ACROSS * (width + 1)
            sheet[y : y + height, x : x + width] = np.round(color)
        frames.append(sheet)
    return frames


def developed(steps: Sequence[Floats], picture: Image.Image) -> list[Pixels]:
    """Each of `steps`, (C, h, w), in the colours (h, w, 3) that come closest, of all that are linear in its numbers, to
    turning the last one into `picture`."""
    height, width = steps[-1].shape[1:]
    goal = np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.BOX), dtype=np.float64) / 255
    mapping = np.linalg.lstsq(_with_one(steps[-1]), goal.reshape(-1, 3), rcond=None)[0]
    return [_bytes((_with_one(step) @ mapping).reshape(height, width, 3)) for step in steps]


def strip(frames: Sequence[Pixels], format: Literal["PNG", "WEBP"]) -> str:
    """The frames side by side in one picture, as a data URI. PNG keeps every pixel as it is."""
    pixels = np.concatenate(frames, axis=1)
    return encoded(_indexed(pixels) if format == "PNG" else Image.fromarray(pixels), format)


def encoded(picture: Image.Image, format: Literal["PNG", "WEBP"]) -> str:
    """A picture as a data URI."""
    file = io.BytesIO()
    if format == "PNG":
        picture.save(file, "PNG", optimize=True)
    else:
        picture.save(file, "WEBP", quality=85)
    return f"data:image/{format.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def chosen(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 .. count - 1, evenly apart, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def _indexed(pixels: Pixels) -> Image.Image:
    """The same pixels, as places in a palette where there are few colours: a third of the size, or less."""
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    colors, places = np.unique(packed, return_inverse=True)
    if len(colors) > 256:
        return Image.fromarray(pixels)
    image = Image.fromarray(places.reshape(packed.shape).astype(np.uint8), "P")
    image.putpalette([int(color) >> shift & 255 for color in colors for shift in (16, 8, 0)])
    return image


def _flat(step: Floats) -> NDArray[np.float64]:
    """(h * w, C)"""
    return step.reshape(step.shape[0], -1).T.astype(np.float64)


def _with_one(step: Floats) -> NDArray[np.float64]:
    flat = _flat(step)
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)


def _three(frame: Pixels) -> Pixels:
    """Where there are fewer positions than colours the missing ones are the first."""
    missing = 3 - frame.shape[2]
    return np.concatenate([frame, *[frame[..., :1]] * missing], axis=2) if missing else frame


def _bytes(share: NDArray[np.float64]) -> Pixels:
    return np.round(np.clip(share, 0, 1) * 255).astype(np.uint8)
