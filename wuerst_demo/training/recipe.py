"""The numbers of a training run, in one frozen record, and what its folder holds.

Does not know networks or pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wuerst_demo.training.scenes import Scene, World
from wuerst_demo.training.store import Size, Store
from wuerst_demo.training.things import COLOURS, PLACES, THINGS, TIMES, Thing


@dataclass(frozen=True)
class Recipe:
    """How a cocktail is trained. `dial` sets all widths: 1 is for tests, 4 is what ships.

    Steps are optimiser steps, batches are pictures (128 x 128 crops for the VQGAN). `vocabulary` is the tokenizer's.
    """

    folder: Path
    dial: int = 4
    things: int = 32
    world: World = "plain"
    scenes: int = 5_000
    vocabulary: int = 2048
    vqgan_steps: int = 1_300
    vqgan_batch: int = 8
    encoder_steps: int = 5_200
    encoder_batch: int = 16
    decoder_steps: int = 10_000
    decoder_batch: int = 8
    prior_steps: int = 10_500
    prior_batch: int = 16
    rate: float = 8e-4

    @property
    def known(self) -> tuple[Thing, ...]:
        """The things this run learns."""
        return THINGS[: self.things]

    @property
    def labels(self) -> tuple[str, ...]:
        """All that a caption can name: things, places and plain colours, times."""
        return (*(thing.name for thing in self.known), *PLACES, *COLOURS, *TIMES)

    def about(self, scene: Scene) -> list[float]:
        """1 for each of `labels` that the scene shows, else 0."""
        shown = {*(item.thing.name for item in scene.items), scene.place, scene.time}
        return [float(label in shown) for label in self.labels]

    @property
    def store(self) -> Store:
        """The drawn scenes: most are square, the rest wide, tall and large."""
        shares: dict[Size, float] = {(256, 256): 0.78, (384, 256): 0.09, (256, 384): 0.09, (384, 384): 0.04}
        counts = {size: max(4, int(self.scenes * share)) for size, share in shares.items()}
        return Store(self.folder / "store", counts, self.known, self.world)
