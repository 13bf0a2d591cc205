"""Drawn pictures, and what the stages make of them, in files that are written once and mapped into memory.

A folder holds one array per picture size and kind: `pictures-256x384.npy` (N, H, W, 3) uint8, `latents-...` float16 and
`z-...` float16. Scene k of a size is drawn from its number alone, so scenes themselves are not stored.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from torch import Tensor

from wuerst_demo.training.drawing import draw
from wuerst_demo.training.scenes import USUAL, Kind, Mix, Scene, roomy, sample
from wuerst_demo.training.things import Thing

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Store:
    """`counts` has the number of scenes drawn at each size; another `series` has other scenes. Combinations that are
    held back are among them only where `held_back` says so."""

    folder: Path
    counts: dict[Size, int]
    things: tuple[Thing, ...]
    series: str = ""
    held_back: bool = False
    crowded: float = 0.0
    """Share of scenes of four things, except at sizes that are `roomy`: small things are not small enough there."""
    mix: Mix = USUAL
    settled: bool = False
    """Whether things stand where a caption lets one expect them; see `scenes.sample`."""

    def scene(self, size: Size, k: int) -> Scene:
        """Scene k of a size, always the same one."""
        rng = Random(f"{self.series}{size[0]}x{size[1]}-{k}")
        kind: Kind | None = "crowd" if rng.random() < self.crowded and not roomy(*size) else None
        return sample(rng, self.things, self.held_back, kind, self.settled, self.mix)

    def array(self, kind: str, size: Size) -> np.ndarray:
        """The mapped array of one kind: "pictures", "latents" or "z"."""
        mapped: np.ndarray = np.load(self._path(kind, size), mmap_mode="r")
        return mapped

    def has(self, kind: str) -> bool:
        return all(self._path(kind, size).exists() for size in self.counts)

    def forget(self, kind: str) -> None:
        """Removes the arrays of one kind, so that they are computed anew."""
        for size in self.counts:
            self._path(kind, size).unlink(missing_ok=True)

    def pick(self, step: int, batch: int) -> tuple[Size, np.ndarray]:
        """A size and `batch` numbers of scenes of that size, the same ones for the same step."""
        rng = np.random.default_rng(step)
        sizes = list(self.counts)
        weights = np.array([self.counts[size] for size in sizes], float)
        size = sizes[rng.choice(len(sizes), p=weights / weights.sum())]
        # larger pictures in smaller batches: a step costs about the same at every size
        count = max(1, batch * 256 * 256 // (size[0] * size[1]))
        return size, np.sort(rng.integers(self.counts[size], size=count))

    def draw(self, workers: int | None = None) -> None:
        """Draws all pictures that are not there yet, in `workers` processes (as many as there are processors)."""
        with ProcessPoolExecutor(workers) as pool:
            for size, count in self.counts.items():
                if self._path("pictures", size).exists():
                    continue
                chunks = [(self, size, range(k, min(k + 64, count))) for k in range(0, count, 64)]
                self._write("pictures", size, (count, size[1], size[0], 3), np.uint8, pool.map(_draw, chunks))

    def derive(
        self, kind: str, shape: Callable[[Size], tuple[int, ...]], compute: Callable[[Size, np.ndarray], Tensor]
    ) -> None:
        """Writes `compute(size, picks)` for all pictures as float16 arrays of `shape(size)` each."""
        for size, count in self.counts.items():
            batches = (np.arange(k, min(k + 32, count)) for k in range(0, count, 32))
            outputs = (compute(size, picks).half().numpy() for picks in batches)
            self._write(kind, size, (count, *shape(size)), np.float16, outputs)

    def _write(self, kind: str, size: Size, shape: tuple[int, ...], dtype: type, chunks: object) -> None:
        path = self._path(kind, size)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        array = np.lib.format.open_memmap(partial, "w+", dtype, shape)
        at = 0
        for chunk in chunks:  # type: ignore[attr-defined]
            array[at : at + len(chunk)] = chunk
            at += len(chunk)
        array.flush()
        os.replace(partial, path)

    def _path(self, kind: str, size: Size) -> Path:
        return self.folder / f"{kind}-{size[0]}x{size[1]}.npy"


def _draw(chunk: tuple[Store, Size, range]) -> np.ndarray:
    store, size, numbers = chunk
    return np.stack([np.asarray(draw(store.scene(size, k), *size)) for k in numbers])
