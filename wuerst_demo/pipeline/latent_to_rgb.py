"""Linear maps from latents to preview colors: least-squares fit to finished images, and their JSON file.

The decoder's map takes each position by itself, the prior's a window of 3 x 3 positions. Fitted to 54 images of the
cocktail and tried on others, the window leaves 4 % of the color variance unexplained; a single position leaves nearly
all of it.

A file carries the fingerprint of its checkpoint's weights, so a map is never applied to another checkpoint's latents. A
file that is missing, damaged or another checkpoint's is no error: the map is fitted again. This module needs no torch.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wuerst_demo.checkpoints.json_reader import parse_json
from wuerst_demo.paths import user_cache_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wuerst_demo.checkpoints.manifest import ResolvedCheckpoint

    Array = NDArray[np.floating[Any]]

log = logging.getLogger(__name__)

PREVIEW_MAP_FILENAME = "preview.json"
"""File name beside a checkpoint's decoder folder."""
PREVIEW_CHANNELS = {"prior": 16, "decoder": 4}
WINDOW_SIDES = {"prior": 3, "decoder": 1}
"""Side of a map's window, in latent positions."""
WINDOW_INPUTS = {name: channels * WINDOW_SIDES[name] ** 2 for name, channels in PREVIEW_CHANNELS.items()}
RIDGE_SHARE = 1e-2
"""Ridge penalty for one image, as a share of the inputs' mean variance; for n images it is an nth of that."""
_MAX_COEFFICIENT = 1e6


@dataclass(frozen=True, eq=False)
class LatentRgbMap:
    """One map (inputs + 1, 3), float32, per network: window inputs with a 1 appended, times the map, are RGB in 0..1.

    Inputs are ordered by channel, then row, then column of the window; outside of the latents the edge is repeated.
    """

    prior: NDArray[np.float32]
    decoder: NDArray[np.float32]
    image_count: int
    """Images that the map was fitted to."""


class LatentRgbFit:
    """Running sums of a ridge regression; their size does not depend on the number of images."""

    def __init__(self) -> None:
        self.image_count = 0
        self._sums = {name: (np.zeros((n + 1, n + 1)), np.zeros((n + 1, 3))) for name, n in WINDOW_INPUTS.items()}

    def add(self, samples: Mapping[str, tuple[Array, Array]]) -> bool:
        """Adds one image: for each network its clean latents (C, h, w) and the image averaged down to (h, w, 3) in
        0..1. Returns False, and adds nothing, if a value is not finite."""
        if not all(np.isfinite(array).all() for pair in samples.values() for array in pair):
            return False
        for name, (latents, rgb) in samples.items():
            inputs = _window_inputs(latents.astype(np.float64), WINDOW_SIDES[name])
            inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], 1) / np.sqrt(len(inputs))
            products, targets = self._sums[name]
            products += inputs.T @ inputs
            targets += inputs.T @ rgb.reshape(-1, 3) / np.sqrt(len(inputs))
        self.image_count += 1
        return True

    def solve(self) -> LatentRgbMap:
        """The best maps for the images so far, at least one."""
        return LatentRgbMap(self._solve("prior"), self._solve("decoder"), self.image_count)

    def _solve(self, name: str) -> NDArray[np.float32]:
        products, targets = self._sums[name]
        penalty = np.eye(len(products)) * (
            RIDGE_SHARE / self.image_count * np.trace(products[:-1, :-1]) / (len(products) - 1)
        )
        penalty[-1, -1] = 1e-9  # the mean color has no penalty, only enough to keep the system solvable
        solved: NDArray[np.float32] = np.linalg.solve(products + penalty, targets).astype(np.float32)
        return solved


def _window_inputs(latents: Array, side: int) -> Array:
    """(C, h, w) -> (h w, C side side): each position with its neighbors."""
    padded = np.pad(latents, ((0, 0), (side // 2, side // 2), (side // 2, side // 2)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    return windows.transpose(1, 2, 0, 3, 4).reshape(latents.shape[1] * latents.shape[2], -1)


def bundled_map_path(checkpoint: ResolvedCheckpoint) -> Path:
    """Path of the map in a checkpoint that ships one."""
    return checkpoint.decoder.weights[0].path.parent.parent / PREVIEW_MAP_FILENAME


def cached_map_path(fingerprint: str, env: Mapping[str, str], home: Path | None = None) -> Path:
    """Path of a checkpoint's map in the user's cache folder."""
    return user_cache_folder(env, home) / "previews" / f"{fingerprint[:32]}.json"


def load_map(path: Path, fingerprint: str) -> LatentRgbMap | None:
    """The map in a file; None if the file is missing, damaged or another checkpoint's."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.info("No preview colors in %s (%s); they are fitted again.", path, type(error).__name__)
        return None
    try:
        content = parse_json(text)
        if content["of"] != fingerprint:
            log.info("%s has the preview colors of another checkpoint; they are fitted again.", path)
            return None
        maps = {name: np.array(content[name], float) for name in PREVIEW_CHANNELS}
        valid = all(
            maps[name].shape == (n + 1, 3) and (np.abs(maps[name]) < _MAX_COEFFICIENT).all()
            for name, n in WINDOW_INPUTS.items()
        )
        image_count = content["pictures"]
    except (ValueError, TypeError, KeyError):
        valid, maps, image_count = False, {}, 0
    if not valid or type(image_count) is not int or image_count < 1:
        log.info("%s is damaged; the preview colors are fitted again.", path)
        return None
    return LatentRgbMap(maps["prior"].astype(np.float32), maps["decoder"].astype(np.float32), image_count)


def save_map(path: Path, fingerprint: str, rgb_map: LatentRgbMap) -> None:
    """Writes the file atomically, and its folder. Raises OSError and leaves no partial file."""
    rows = {name: [[round(float(x), 6) for x in row] for row in getattr(rgb_map, name)] for name in PREVIEW_CHANNELS}
    text = json.dumps({"of": fingerprint, "pictures": rgb_map.image_count, **rows}) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with partial.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
