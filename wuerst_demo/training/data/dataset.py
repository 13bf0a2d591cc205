"""The rendered images and the arrays derived from them, in memory-mapped files.

A folder holds one array for each kind and image size: `pictures-WxH.npy` (N, H, W, 3) uint8, and in float16
`latents-WxH.npy` (N, 4, H / 4, W / 4) and `z-WxH.npy` (N, LATENT_CHANNELS, 3 H / 128, 3 W / 128). Scenes are not
stored: scene k of a size follows from its number.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

import numpy as np

from wuerst_demo.training.data.render import render
from wuerst_demo.training.data.scenes import DEFAULT_MIX, Kind, Mix, Scene, is_large, sample_scene
from wuerst_demo.training.data.vocabulary import Thing

Size = tuple[int, int]
"""Width and height in pixels."""
LATENT_CHANNELS = 16  #: Channels of z, the image encoder's output and the prior's latents.
CHUNK_SIZE = 32  #: Images rendered by a worker, or encoded, at a time.


@dataclass(frozen=True)
class Batch:
    """Some scenes of one size."""

    dataset: "SceneDataset"
    size: Size
    numbers: np.ndarray  #: (B,)

    @cached_property
    def scenes(self) -> list[Scene]:
        return [self.dataset.scene(self.size, int(k)) for k in self.numbers]


@dataclass(frozen=True)
class SceneDataset:
    """A reproducible sequence of scenes, their images and what is derived from them."""

    folder: Path
    counts: dict[Size, int]  #: Number of scenes of each size.
    things: tuple[Thing, ...]
    series: str = ""  #: Part of the seed: another series has other scenes.
    held_back: bool = False  #: Whether scenes may contain combinations that are held back.
    crowded: float = 0.0  #: Share of crowds, except at sizes that are `is_large`.
    mix: Mix = DEFAULT_MIX
    fixed_layout: bool = False  #: As in `sample_scene`.

    def scene(self, size: Size, k: int) -> Scene:
        """Scene k of a size, always the same one."""
        rng = Random(f"{self.series}{size[0]}x{size[1]}-{k}")
        kind: Kind | None = "crowd" if rng.random() < self.crowded and not is_large(*size) else None
        return sample_scene(rng, self.things, self.held_back, kind, self.fixed_layout, self.mix)

    def sample_batch(self, step: int, batch: int) -> Batch:
        """Scenes of one size in ascending order, the same ones for the same step: `batch` of 256 x 256 pixels and fewer
        of larger sizes, so that every step costs about the same."""
        rng = np.random.default_rng(step)
        sizes, weights = list(self.counts), np.array(list(self.counts.values()), float)
        size = sizes[rng.choice(len(sizes), p=weights / weights.sum())]
        count = max(1, batch * 256 * 256 // (size[0] * size[1]))
        return Batch(self, size, np.sort(rng.integers(self.counts[size], size=count)))

    def array(self, kind: str, size: Size) -> np.ndarray:
        """The memory-mapped array of "pictures", "latents" or "z"."""
        mapped: np.ndarray = np.load(self._path(kind, size), mmap_mode="r")
        return mapped

    def delete(self, kind: str) -> None:
        """Deletes the arrays of one kind, so that they are computed anew."""
        for size in self.counts:
            self._path(kind, size).unlink(missing_ok=True)

    def render(self, workers: int | None = None) -> None:
        """Renders the images that are missing, in `workers` processes (default: one per CPU)."""
        with ProcessPoolExecutor(workers) as pool:
            self.derive("pictures", _render_batch, pool.map)

    def derive(
        self,
        kind: str,
        compute: Callable[[Batch], np.ndarray],
        map_batches: Callable[..., Iterable[np.ndarray]] = map,
    ) -> None:
        """Writes the arrays of one kind that are missing: `compute` returns (B, ...). A file appears once it is
        complete."""
        for size, count in self.counts.items():
            path = self._path(kind, size)
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            numbers = np.array_split(np.arange(count), range(CHUNK_SIZE, count, CHUNK_SIZE))
            batches, partial, array = [Batch(self, size, each) for each in numbers], path.with_suffix(".partial"), None
            for batch, chunk in zip(batches, map_batches(compute, batches), strict=True):
                if array is None:
                    array = np.lib.format.open_memmap(partial, "w+", chunk.dtype, (count, *chunk.shape[1:]))
                array[batch.numbers] = chunk
            assert array is not None, "every size has at least one scene"
            array.flush()
            os.replace(partial, path)

    def _path(self, kind: str, size: Size) -> Path:
        return self.folder / f"{kind}-{size[0]}x{size[1]}.npy"


def _render_batch(batch: Batch) -> np.ndarray:
    """Images (B, H, W, 3)."""
    return np.stack([np.asarray(render(scene, *batch.size)) for scene in batch.scenes])
