"""The numbers of a training run, in one frozen record, and what its folder holds.

Does not know networks or pictures.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from wuerst_demo.errors import SetupError
from wuerst_demo.training.scenes import Mix, Scene
from wuerst_demo.training.store import Size, Store
from wuerst_demo.training.things import COLOURS, PLACES, STYLES, THINGS, TIMES, Thing

SHARES = {
    "vqgan": 0.04,
    "encoder": 0.10,
    "together": 0.04,
    "decoder": 0.63,
    "words": 0.02,
    "prior": 0.12,
    "judge": 0.05,
}
"""Stage -> its share of the time where a run is given minutes."""

KEPT = "recipe.json"
"""The file of a run's folder that tells what its pictures were drawn by."""
DRAWN_BY = {
    "things": ("things", "--things"),
    "scenes": ("scenes", "--scenes (without it, they are more on a GPU)"),
    "composed": ("scenes for the prior", "--effort (on a GPU they are more)"),
    "judge_scenes": ("scenes for the judge", "--effort (on a GPU they are others)"),
}
"""What pictures depend on -> what a person calls it, and what sets it on the command line."""
ARRANGED = ("small", "big", "column", "two", "three")
"""What `Recipe.roles` tells beside things and colours: sizes, one above the other, numbers."""


@dataclass(frozen=True)
class Recipe:
    """How a cocktail is trained. `dial` sets the widths of its networks: 1 is for tests, 4 is what ships. The judge has
    a width of its own, so that checkpoints of any size are judged alike.

    Steps are optimiser steps, batches are pictures of 256 x 256 (the VQGAN takes twice as many crops of 128 x 128).
    `scenes` are drawn for VQGAN, image encoder and decoder, `composed` for the prior, `judge_scenes` for the judge.
    `vocabulary` and `captions` are the tokenizer's: its tokens, and from how many captions it learns them. With
    `minutes`, each stage ends after its share of them at the latest.
    """

    folder: Path
    dial: int = 4
    things: int = len(THINGS)
    scenes: int = 28_000
    composed: int = 36_000
    minutes: float = math.inf
    vocabulary: int = 4096
    captions: int = 20_000
    vqgan_steps: int = 1_200
    vqgan_batch: int = 8
    encoder_steps: int = 4_700
    together_steps: int = 620
    decoder_steps: int = 20_000
    decoder_batch: int = 24
    words_steps: int = 3_000
    words_batch: int = 48
    prior_steps: int = 4_500
    prior_batch: int = 32
    judge_width: int = 32
    judge_scenes: int = 32_000
    judge_steps: int = 13_000
    judge_batch: int = 24
    rate: float = 8e-4
    decoder_rate: float = 1.8e-3
    round: int = 0
    """Rounds that decoder and prior have learned before: each takes the scenes in another order, in other words."""

    @classmethod
    def large(cls, folder: Path) -> Recipe:
        """For one GPU: the same networks, more scenes and larger batches, in steps enough for half an hour on a fast
        one."""
        return cls(
            folder,
            scenes=60_000,
            composed=60_000,
            vqgan_steps=4_000,
            vqgan_batch=64,
            encoder_steps=5_000,
            together_steps=2_000,
            decoder_steps=24_000,
            decoder_batch=128,
            words_steps=4_000,
            words_batch=128,
            prior_steps=6_000,
            prior_batch=256,
            judge_scenes=30_000,
            judge_steps=6_000,
            judge_batch=128,
        )

    def keep(self) -> None:
        """Writes down in the folder what its pictures are drawn by, for `check`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        said = {name: getattr(self, name) for name in DRAWN_BY} | {"mixes": self.mixes}
        (self.folder / KEPT).write_text(json.dumps(said, indent=1) + "\n")

    def check(self) -> None:
        """Raises SetupError where the folder's pictures were drawn by another recipe: scenes are known by their number
        alone, so that captions would tell of other pictures."""
        path = self.folder / KEPT
        if not path.exists():
            return
        drawn_by = json.loads(path.read_text())
        for name, (called, asked_by) in DRAWN_BY.items():
            if drawn_by[name] != getattr(self, name):
                here = f"The pictures in {self.folder} were drawn with {drawn_by[name]:,} {called}"
                raise SetupError(
                    f"{here}, not {getattr(self, name):,}. Give the same {asked_by} as then, or another --folder."
                )
        if drawn_by.get("mixes", self.mixes) != self.mixes:
            raise SetupError(
                f"The pictures in {self.folder} were drawn by a version of this program with other scenes. Give another"
                " --folder, or remove its pictures: the folders store and prior-store, and recipe.json."
            )

    @property
    def mixes(self) -> str:
        """How often scenes show what. Scene k is another one where that is another."""
        return repr((self.store.crowded, self.store.mix, self.prior_store.mix))

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

    @property
    def roles(self) -> tuple[str, ...]:
        """What a caption tells beyond `labels`: what stands first and second, as one reads a picture, and in which
        colours; how large; whether in a column; how many alike."""
        each = (*(thing.name for thing in self.known), *COLOURS)
        return (*(f"{place} {what}" for place in ("first", "second") for what in each), *ARRANGED)

    def arrangement(self, scene: Scene) -> list[float]:
        """1 for each of `roles` that the scene has, else 0."""
        items = scene.items[:2] if scene.kind == "pair" else scene.items[:1]
        shown = {items[0].word, "column" if scene.column and scene.kind == "pair" else ""}
        if scene.kind == "alike":
            shown.add("two" if len(scene.items) == 2 else "three")
        for place, item in zip(("first", "second"), items, strict=False):
            shown |= {f"{place} {item.thing.name}", f"{place} {item.colour}"}
        return [float(role in shown) for role in self.roles]

    def draw_of(self, step: int) -> int:
        """What scenes and captions of a step of this round are drawn by."""
        return step + 10_000_000 * self.round

    def limit(self, stage: str) -> float:
        """Seconds that a stage may take."""
        return self.minutes * 60 * SHARES[stage]

    @property
    def store(self) -> Store:
        """The drawn scenes. Two thirds of them are crowds, which is what a decoder learns most from at a time, and
        there is more in them of what it learns last than people ask for: small, big and painted things, and styles."""
        mix = Mix(
            kinds=(0.5, 0.35, 0.15),
            sized=(0.3, 0.25, 0.45),
            painted=(0.7, 0.5),
            styled=0.36,
            crowds=(0.15, 0.45, 0.4),
        )
        return Store(self.folder / "store", _counts(self.scenes), self.known, crowded=0.66, mix=mix)

    @property
    def prior_store(self) -> Store:
        """Scenes for the prior: those that people ask for, but more of single things and of what is small, big or
        painted, since there is too little of each thing otherwise. It needs no latents of them, so that they cost
        little."""
        counts = _counts(self.composed)
        mix = Mix(kinds=(0.6, 0.28, 0.12), sized=(0.3, 0.25, 0.45), painted=(0.6, 0.35))
        return Store(self.folder / "prior-store", counts, self.known, "prior", settled=True, mix=mix)

    @property
    def judge_store(self) -> Store:
        """Scenes for the judge alone: other ones, and held-back combinations among them."""
        counts: dict[Size, int] = {(256, 256): self.judge_scenes}
        return Store(self.folder / "judge-store", counts, self.known, "judge", True, crowded=0.5)


def _counts(scenes: int) -> dict[Size, int]:
    """So many scenes shared out among the sizes, some of each; most are square."""
    shares: dict[Size, float] = {(256, 256): 0.88, (384, 256): 0.05, (256, 384): 0.05, (384, 384): 0.02}
    return {size: max(4, int(scenes * share)) for size, share in shares.items()}
