"""The numbers of a training run, in one frozen record, and what its folder holds.

Does not know networks or pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from wuerst_demo.training.scenes import Scene, World
from wuerst_demo.training.store import Size, Store
from wuerst_demo.training.things import COLOURS, PLACES, STYLES, THINGS, TIMES, Thing

SHARES = {"vqgan": 0.07, "encoder": 0.09, "decoder": 0.5, "prior": 0.26, "judge": 0.08}
"""Stage -> its share of the time where a run is given minutes. Polishing is done apart and may take all of them."""


@dataclass(frozen=True)
class Recipe:
    """How a cocktail is trained. `dial` sets the widths of its networks: 1 is for tests, 4 is what ships. The judge has
    a width of its own, so that checkpoints of any size are judged alike.

    Steps are optimiser steps, batches are pictures of 256 x 256 (the VQGAN takes twice as many crops of 128 x 128).
    `vocabulary` and `captions` are the tokenizer's: its tokens, and from how many captions it learns them. With
    `minutes`, each stage ends after its share of them at the latest.
    """

    folder: Path
    dial: int = 4
    things: int = 32
    world: World = "plain"
    scenes: int = 5_000
    minutes: float = math.inf
    vocabulary: int = 2048
    captions: int = 20_000
    vqgan_steps: int = 1_300
    vqgan_batch: int = 8
    encoder_steps: int = 5_200
    encoder_batch: int = 16
    decoder_steps: int = 10_000
    decoder_batch: int = 8
    prior_steps: int = 10_500
    prior_batch: int = 16
    judge_width: int = 16
    judge_scenes: int = 800
    judge_steps: int = 1_100
    judge_batch: int = 24
    rate: float = 8e-4
    polish_scenes: int = 3_000
    polish_steps: int = 6_000
    polish_rate: float = 6e-4

    @classmethod
    def large(cls, folder: Path) -> Recipe:
        """For one GPU: all there is to learn, in steps enough for half an hour on a fast one.

        The networks are as large as two processor cores can draw with in two seconds.
        """
        return cls(
            folder,
            dial=5,
            things=len(THINGS),
            world="full",
            scenes=60_000,
            vocabulary=4096,
            vqgan_steps=4_000,
            vqgan_batch=64,
            encoder_steps=5_000,
            encoder_batch=128,
            decoder_steps=16_000,
            decoder_batch=128,
            prior_steps=20_000,
            prior_batch=256,
            judge_width=40,
            judge_scenes=30_000,
            judge_steps=6_000,
            judge_batch=128,
        )

    @property
    def known(self) -> tuple[Thing, ...]:
        """The things this run learns."""
        return THINGS[: self.things]

    @property
    def labels(self) -> tuple[str, ...]:
        """All that a caption can name: things, places and plain colours, times, styles."""
        return (*(thing.name for thing in self.known), *PLACES, *COLOURS, *TIMES, *STYLES)

    def about(self, scene: Scene) -> list[float]:
        """1 for each of `labels` that the scene shows, else 0."""
        shown = {*(item.thing.name for item in scene.items), scene.place, scene.time, scene.style}
        return [float(label in shown) for label in self.labels]

    def limit(self, stage: str) -> float:
        """Seconds that a stage may take."""
        return self.minutes * 60 * SHARES.get(stage, 1.0)

    @property
    def store(self) -> Store:
        """The drawn scenes: most are square, the rest wide, tall and large."""
        shares: dict[Size, float] = {(256, 256): 0.78, (384, 256): 0.09, (256, 384): 0.09, (384, 384): 0.04}
        return Store(self.folder / "store", _counts(self.scenes, shares), self.known, self.world)

    @property
    def judge_store(self) -> Store:
        """Scenes for the judge alone: other ones, and held-back combinations among them."""
        counts: dict[Size, int] = {(256, 256): self.judge_scenes}
        return Store(self.folder / "judge-store", counts, self.known, self.world, "judge", True)

    @property
    def polish_store(self) -> Store:
        """Scenes to polish a decoder with, nearly all square."""
        shares: dict[Size, float] = {(256, 256): 0.866, (384, 256): 0.053, (256, 384): 0.053, (384, 384): 0.026}
        return Store(
            self.folder / "polish-store", _counts(self.polish_scenes, shares), self.known, self.world, "polish"
        )


def _counts(scenes: int, shares: dict[Size, float]) -> dict[Size, int]:
    """So many scenes shared out among the sizes, some of each."""
    return {size: max(4, int(scenes * share)) for size, share in shares.items()}
