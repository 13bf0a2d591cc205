"""A contact sheet: what a trained checkpoint draws for prompts of every kind, one picture each, with the prompt below.

Draws through the program's own Python API, so it shows what a visitor would get. Does not train and does not judge.
"""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFont

from wuerst_demo.api import load
from wuerst_demo.training.recipe import Recipe
from wuerst_demo.training.scenes import caption, sample

TILE, LABEL, COLUMNS = 256, 26, 8


def prompts(recipe: Recipe, count: int, seed: int = 11) -> list[str]:
    """`count` captions of scenes that training never drew, of the things that the run knows."""
    rng = Random(seed)
    return [caption(sample(rng, recipe.known, allow_held_back=True, world=recipe.world), rng) for _ in range(count)]


def contact_sheet(recipe: Recipe, checkpoint: Path, path: Path, count: int = 64) -> None:
    """Writes a PNG with `count` pictures of 256 x 256 by the checkpoint in the folder `checkpoint`."""
    model = load(str(checkpoint))
    rows = math.ceil(count / COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + LABEL)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for k, prompt in enumerate(prompts(recipe, count)):
        (result,) = model.generate(model.request(prompt=prompt, width=TILE, height=TILE, seed=k))
        left, top = k % COLUMNS * TILE, k // COLUMNS * (TILE + LABEL)
        sheet.paste(result.picture, (left, top))
        pen.text((left + 4, top + TILE + 4), prompt[:42], fill="black", font=font)
    sheet.save(path)
