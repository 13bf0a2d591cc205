"""From latents to colours by one linear map a network: fitted to finished pictures, kept in a small JSON file.

The decoder's map looks at each position by itself. What the prior's latents say of a place stands in its neighbours
too, so its map looks at 3 x 3 of them. On the cocktail, fitted to 54 pictures and tried on others, that leaves 4 % of
the colours' variance unexplained; one position alone leaves nearly all of it.

A file says which checkpoint it is of, by a fingerprint of its weights, so a map is never used with another one's
latents. One that is missing, damaged or another's is no error: the map is fitted anew. Does not know torch, or what a
preview looks like.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wuerst_demo.model.located import Located

    Array = NDArray[np.floating[Any]]

log = logging.getLogger(__name__)

NAME = "preview.json"
"""What the file is called where it lies beside a checkpoint's decoder."""
CHANNELS = {"prior": 16, "decoder": 4}
SIDES = {"prior": 3, "decoder": 1}
"""How many positions a side a map looks at."""
INPUTS = {name: channels * SIDES[name] ** 2 for name, channels in CHANNELS.items()}
RIDGE = 1e-2
"""How strongly an input that says little is kept from guessing, as a share of what the inputs vary by, for a map of one
picture; for one of n pictures it is an nth of that."""
_SAMPLE = 1 << 16
_LARGEST = 1e6


@dataclass(frozen=True, eq=False)
class Colours:
    """For each network a map (inputs + 1, 3), float32: a position's inputs with a 1 behind them, times the map, are
    red, green and blue from 0 to 1. The inputs are the channels of SIDES x SIDES positions around it, channel by
    channel, each line by line; beyond the edge is what is at the edge. `pictures` is how many it was fitted to."""

    prior: NDArray[np.float32]
    decoder: NDArray[np.float32]
    pictures: int


class Fit:
    """Least squares over the pictures shown so far: what the best map needs to know of them, which does not grow."""

    def __init__(self) -> None:
        self.pictures = 0
        self._sums = {name: (np.zeros((n + 1, n + 1)), np.zeros((n + 1, 3))) for name, n in INPUTS.items()}

    def add(self, seen: Mapping[str, tuple[Array, Array]]) -> bool:
        """One picture more: for each network its clean latents (channels, h, w), and the picture averaged down to
        (h, w, 3) in 0..1. False where there is something that is no number; nothing is added then."""
        if not all(np.isfinite(array).all() for pair in seen.values() for array in pair):
            return False
        for name, (latents, colours) in seen.items():
            rows = _inputs(latents.astype(np.float64), SIDES[name])
            rows = np.concatenate([rows, np.ones((len(rows), 1))], 1) / np.sqrt(len(rows))
            products, towards = self._sums[name]
            products += rows.T @ rows
            towards += rows.T @ colours.reshape(-1, 3) / np.sqrt(len(rows))
        self.pictures += 1
        return True

    def colours(self) -> Colours:
        """The map that fits best. At least one picture was added."""
        return Colours(self._solved("prior"), self._solved("decoder"), self.pictures)

    def _solved(self, name: str) -> NDArray[np.float32]:
        products, towards = self._sums[name]
        held = np.eye(len(products)) * (RIDGE / self.pictures * np.trace(products[:-1, :-1]) / (len(products) - 1))
        held[-1, -1] = 1e-9  # the mean colour is not held back; a number above 0 keeps the sum solvable
        solved: NDArray[np.float32] = np.linalg.solve(products + held, towards).astype(np.float32)
        return solved


def _inputs(latents: Array, side: int) -> Array:
    """(channels, h, w) -> (h w, channels side side): each position with its neighbours."""
    padded = np.pad(latents, ((0, 0), (side // 2, side // 2), (side // 2, side // 2)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    return windows.transpose(1, 2, 0, 3, 4).reshape(latents.shape[1] * latents.shape[2], -1)


def fingerprint(located: Located) -> str:
    """What tells a checkpoint's latents from another's: sampled bytes of its prior's, decoder's and VQGAN's weights."""
    digest = hashlib.sha256()
    for part in (located.prior, located.decoder, located.vqgan):
        for weights in part.weights:
            size = weights.path.stat().st_size
            digest.update(size.to_bytes(8, "little"))
            with weights.path.open("rb") as file:
                for place in (0, size // 2, max(0, size - _SAMPLE)):
                    file.seek(place)
                    digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def beside(located: Located) -> Path:
    """Where a checkpoint that ships its map has it."""
    return located.decoder.weights[0].path.parent.parent / NAME


def cached(of: str, env: Mapping[str, str], home: Path | None = None) -> Path:
    """Where the map of the checkpoint with this fingerprint is kept for the user."""
    home = home or Path.home()
    if sys.platform == "win32":
        folder = Path(env.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = home / "Library" / "Caches"
    else:
        folder = Path(env.get("XDG_CACHE_HOME") or home / ".cache")
    return folder / "wuerst_demo" / "previews" / f"{of[:32]}.json"


def read(path: Path, of: str) -> Colours | None:
    """The map in a file; None where there is none, or none that is sound and of this checkpoint."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.info("No colours for previews in %s (%s); they are fitted anew.", path, type(error).__name__)
        return None
    try:
        found = json.loads(text)
        if found["of"] != of:
            log.info("%s has the colours of another checkpoint; they are fitted anew.", path)
            return None
        maps = {name: np.array(found[name], float) for name in CHANNELS}
        whole = all(
            maps[name].shape == (n + 1, 3) and (np.abs(maps[name]) < _LARGEST).all() for name, n in INPUTS.items()
        )
        pictures = found["pictures"]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        whole, maps, pictures = False, {}, 0
    if not whole or type(pictures) is not int or pictures < 1:
        log.info("%s is damaged; the colours of previews are fitted anew.", path)
        return None
    return Colours(maps["prior"].astype(np.float32), maps["decoder"].astype(np.float32), pictures)


def write(path: Path, of: str, colours: Colours) -> None:
    """Writes the file, its folder too; a reader sees a whole file, old or new. Raises OSError, and leaves nothing."""
    lines = {name: [[round(float(x), 6) for x in row] for row in getattr(colours, name)] for name in CHANNELS}
    text = json.dumps({"of": of, "pictures": colours.pictures, **lines}) + "\n"
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
