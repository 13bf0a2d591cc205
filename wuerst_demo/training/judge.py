"""The judge: a small classifier that says what a picture shows. It is trained on drawn scenes alone, never on what a
checkpoint draws, so that it is independent of what it judges.

It marks on a grid of 8 x 8 which thing has its middle where, and names place, time and style of the whole picture.
Does not know prompts (see `evaluate`) or how pictures come about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from wuerst_demo.training.held import Held, smaller
from wuerst_demo.training.loop import Stage, finished, run
from wuerst_demo.training.networks import Block
from wuerst_demo.training.recipe import Recipe
from wuerst_demo.training.scenes import Scene
from wuerst_demo.training.styles import restyle
from wuerst_demo.training.things import COLOURS, PLACES, STYLES, TIMES

GRID = 8
SIDE = 128
"""Pixels of a side as the judge looks at it."""
BACKGROUNDS = (*PLACES, *COLOURS)
MOMENTS = ("", *TIMES)
MANNERS = ("", *STYLES)
QUICK = ("pixel art", "pixel art", "pixel art", "pencil sketch", "black and white", "neon")
"""Styles in which pictures can be put while the judge learns. Pixel art before a plain colour is hardest to see."""


@dataclass(frozen=True)
class Verdict:
    """What a picture shows: things that are there -> the middle of each as (x, y) in 0..1, and how sure the judge is
    of each time in MOMENTS."""

    things: dict[str, tuple[float, float]]
    place: str
    time: str
    style: str
    times: dict[str, float]


class Judge(nn.Module):
    """Pictures (B, 3, 128, 128) in 0..1 to logits: cells (B, 1 + things, 8, 8), first "nothing", and one line each of
    BACKGROUNDS, MOMENTS and MANNERS."""

    def __init__(self, width: int, things: int) -> None:
        super().__init__()
        w = width
        self.trunk = nn.Sequential(
            nn.Conv2d(3, w, 4, stride=4),
            Block(w),
            nn.Conv2d(w, 2 * w, 4, stride=2, padding=1),
            Block(2 * w),
            Block(2 * w),
            nn.Conv2d(2 * w, 4 * w, 4, stride=2, padding=1),
            Block(4 * w),
            Block(4 * w),
            Block(4 * w),
        )
        self.cells = nn.Conv2d(4 * w, 1 + things, 1)
        self.whole = nn.Sequential(nn.LayerNorm(6 * w), nn.Linear(6 * w, 4 * w), nn.GELU())
        self.split = (len(BACKGROUNDS), len(MOMENTS), len(MANNERS))
        self.names = nn.Linear(4 * w, sum(self.split))

    def forward(self, pictures: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        middle = self.trunk[:5](pictures * 2 - 1)
        deep = self.trunk[5:](middle)
        # style is a matter of texture: the mean of the finer features sees it
        seen = torch.cat([deep.mean((2, 3)), middle.mean((2, 3))], 1)
        return self.cells(deep), self.names(self.whole(seen)).split(self.split, 1)


def train_judge(recipe: Recipe, device: torch.device, half: torch.dtype | None = None) -> Judge:
    """The judge of the run's world; at once, and without its pictures, where it is trained already."""
    store = recipe.judge_store
    if not finished(recipe.folder, "judge", recipe.judge_steps):
        store.draw()
    data, size = Held(store, device), (SIDE * 2, SIDE * 2)
    torch.manual_seed(4)
    judge = Judge(recipe.judge_width, recipe.things).to(device)

    def loss(step: int) -> Tensor:
        _, picks = store.pick(step, recipe.judge_batch)
        scenes = [store.scene(size, int(k)) for k in picks]
        pictures, scenes = _in_other_styles(data.pictures(size, picks), scenes, Random(f"judge-{step}"))
        pictures = smaller(pictures, 0.5)
        if step % 2:  # a little soft: sharpness is not what is judged
            pictures = smaller(pictures, 0.5)
            pictures = functional.interpolate(pictures, size=(SIDE, SIDE), mode="bilinear")
        pictures = pictures + 0.04 * torch.randn_like(pictures) * torch.rand(len(picks), 1, 1, 1, device=device)
        cells, names = judge(pictures)
        allowed, weight = _targets(scenes, recipe)
        sure = cells.float().log_softmax(1).masked_fill(~allowed.to(device), -math.inf)
        each = -sure.logsumexp(1)
        total: Tensor = (each * weight.to(device)).sum() / len(scenes)
        for logits, answers in zip(names, _answers(scenes), strict=True):
            total = total + functional.cross_entropy(logits.float(), answers.to(device), ignore_index=-1)
        return total

    stage = Stage("judge", {"judge": judge}, loss, recipe.judge_steps, 2e-3, ema_decay=0.99)
    stage.limit = recipe.limit("judge")
    trained = run(stage, recipe.folder, device, half)["judge"]
    assert isinstance(trained, Judge)
    return trained


def _in_other_styles(pictures: Tensor, scenes: Sequence[Scene], rng: Random) -> tuple[Tensor, list[Scene]]:
    """A fifth of the plain pictures (B, 3, H, W) in a style: too few are drawn in each to learn it before every
    background."""
    pictures, changed = pictures.clone(), list(scenes)
    for k, scene in enumerate(scenes):
        if not scene.style and rng.random() < 0.2:
            style = rng.choice(QUICK)
            pixels = (pictures[k].permute(1, 2, 0) * 255).round().byte().cpu().numpy()
            restyled = np.array(restyle(Image.fromarray(pixels), style))
            pictures[k] = torch.from_numpy(restyled).to(pictures.device).permute(2, 0, 1).float() / 255
            changed[k] = replace(scene, style=style)
    return pictures, changed


def _targets(scenes: Sequence[Scene], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """What each cell may say (B, 1 + things, 8, 8), and how much it counts (B, 8, 8): the middle of a thing that thing,
    its neighbours that thing or nothing, all others nothing."""
    numbers = {thing.name: k + 1 for k, thing in enumerate(recipe.known)}
    allowed = torch.zeros(len(scenes), 1 + recipe.things, GRID, GRID, dtype=torch.bool)
    allowed[:, 0] = True
    weight = torch.full((len(scenes), GRID, GRID), 4 / GRID**2)
    cell = SIDE * 2 // GRID
    for k, scene in enumerate(scenes):
        middles = []
        for item in scene.items:
            x, y, side = item.square(SIDE * 2, SIDE * 2)
            row, column, number = (y + side // 2) // cell, (x + side // 2) // cell, numbers[item.thing.name]
            middles.append((row, column, number))
            allowed[k, number, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
        for row, column, number in middles:
            allowed[k, :, row, column] = False
            allowed[k, number, row, column] = True
            weight[k, row, column] = 1
    return allowed, weight


def _answers(scenes: Sequence[Scene]) -> list[Tensor]:
    """Place, time and style of each scene. Styles without colour hide place and time: -1 there."""
    plain = [scene.style in ("", "pixel art", "watercolour") for scene in scenes]
    return [
        torch.tensor(
            [BACKGROUNDS.index(scene.place) if told else -1 for scene, told in zip(scenes, plain, strict=True)]
        ),
        torch.tensor([MOMENTS.index(scene.time) if told else -1 for scene, told in zip(scenes, plain, strict=True)]),
        torch.tensor([MANNERS.index(scene.style) for scene in scenes]),
    ]


@torch.no_grad()
def judged(judge: Judge, recipe: Recipe, pictures: Sequence[np.ndarray]) -> list[Verdict]:
    """What pictures (H, W, 3) of 0..255, of any size, show."""
    device = next(judge.parameters()).device
    verdicts = []
    for pixels in pictures:
        x = torch.from_numpy(np.array(pixels)).to(device).permute(2, 0, 1)[None].float() / 255
        x = functional.interpolate(x, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        cells, names = judge(x)
        # (things, 64): how sure each cell is of each thing
        sure = cells[0].softmax(0)[1:].flatten(1)
        best, at = sure.max(1)
        there = {
            thing.name: ((int(at[k]) % GRID + 0.5) / GRID, (int(at[k]) // GRID + 0.5) / GRID)
            for k, thing in enumerate(recipe.known)
            if best[k] >= 0.5
        }
        place, time, style = (int(logits[0].argmax()) for logits in names)
        times = dict(zip(MOMENTS, names[1][0].softmax(0).tolist(), strict=True))
        verdicts.append(Verdict(there, BACKGROUNDS[place], MOMENTS[time], MANNERS[style], times))
    return verdicts
