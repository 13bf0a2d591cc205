"""Figures for a checkpoint's card: how good it is at how many steps and how strongly guided, and what weights in a
prompt do.

Draws through the program's own Python API and asks the judge. Does not train.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wuerst_demo.training.evaluate import SIDE, Case, cases, drawn
from wuerst_demo.training.judge import Judge, judged

if TYPE_CHECKING:
    from wuerst_demo.api import Wuerstchen
    from wuerst_demo.training.recipe import Recipe

OTHERS = 22
"""Seeds prompts that are not `evaluate`'s: what is chosen by them does not flatter its table."""
STEPS = ((3, 3), (4, 3), (5, 2), (5, 3), (5, 4), (5, 6), (10, 4), (10, 10), (30, 20))
"""Prior steps and decoder steps."""
GUIDANCE = ((4.0, 0.0), (1.0, 3.0), (2.0, 2.0), (2.0, 3.0), (3.0, 3.0))
"""The prior's and the decoder's."""
WEIGHTS = (
    ("a house on the grass (at night)0.4", "a house on the grass at night", "a house on the grass (at night)1.5"),
    ("a cat-- on the grass", "a cat on the grass", "a cat++ on the grass"),
)


def curve(model: Wuerstchen, judge: Judge, recipe: Recipe, count: int = 64) -> str:
    """Quality against steps as Markdown: of `count` one-thing prompts, how often thing and background are right."""
    return _table(model, judge, recipe, _one_thing(recipe, count), "steps", STEPS)


def guidance(model: Wuerstchen, judge: Judge, recipe: Recipe, count: int = 128) -> str:
    """Quality against guidance as Markdown: of `count` prompts for one thing that is small, big or painted, which are
    the hardest, how often thing and background are right."""
    items = ((case, case.scene.items[0]) for case in _one_thing(recipe, count * 4))
    hard = [case for case, item in items if item.word or item.colour]
    return _table(model, judge, recipe, hard[:count], "guidance", GUIDANCE)


def _table(
    model: Wuerstchen,
    judge: Judge,
    recipe: Recipe,
    asked: Sequence[Case],
    what: str,
    pairs: Sequence[tuple[float, float]],
) -> str:
    """A line for each of `pairs`, which are "steps" or "guidance" of prior and decoder."""
    lines = [
        f"| prior {what} | decoder {what} | the thing is there | the right background |",
        "|--:|--:|--:|--:|",
    ]
    for prior, decoder in pairs:
        settings = {f"prior_{what}": prior, f"decoder_{what}": decoder}
        there, place = _right(model, judge, recipe, asked, **settings)
        lines.append(f"| {prior:g} | {decoder:g} | {there:.0%} | {place:.0%} |")
    return "\n".join(lines)


def _one_thing(recipe: Recipe, count: int) -> list[Case]:
    """`count` prompts for one thing in no style, always the same ones."""
    return [case for case in cases(recipe, 12 + count * 6, OTHERS) if case.kind == "one"][:count]


def _right(
    model: Wuerstchen, judge: Judge, recipe: Recipe, asked: Sequence[Case], **settings: float
) -> tuple[float, float]:
    """Drawn with these settings of a request: the shares, 0..1, of pictures with the thing, and with the place."""
    requests = [
        model.request(prompt=case.prompt, width=SIDE, height=SIDE, seed=k, weighting=False, **settings)
        for k, case in enumerate(asked)
    ]
    pairs = list(zip(asked, judged(judge, recipe, drawn(model, requests)), strict=True))
    there = sum(case.scene.items[0].thing.name in verdict.things for case, verdict in pairs)
    place = sum(case.scene.place == verdict.place for case, verdict in pairs)
    return there / len(pairs), place / len(pairs)


def weights_grid(model: Wuerstchen, path: Path, seeds: int = 4) -> None:
    """Writes a PNG: a row of pictures for each prompt of WEIGHTS, the same seeds below each other."""
    prompts = [prompt for group in WEIGHTS for prompt in group]
    requests = [
        model.request(prompt=prompt, width=SIDE, height=SIDE, seed=seed) for prompt in prompts for seed in range(seeds)
    ]
    pictures, tile, label = drawn(model, requests), SIDE // 2, 18
    sheet = Image.new("RGB", (seeds * tile, len(prompts) * (tile + label)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for k, pixels in enumerate(pictures):
        left, top = k % seeds * tile, k // seeds * (tile + label)
        sheet.paste(Image.fromarray(np.asarray(pixels)).resize((tile, tile)), (left, top + label))
    for k, prompt in enumerate(prompts):
        pen.text((4, k * (tile + label) + 2), prompt, fill="black", font=font)
    sheet.save(path)
