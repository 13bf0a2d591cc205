"""A contact sheet: what a trained checkpoint draws for prompts of every kind, one picture each, with the prompt below.

Draws through the program's own Python API, so it shows what a visitor would get. Does not train and does not judge.
"""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFont

from wuerst_demo.api import Wuerstchen
from wuerst_demo.training.captions import caption
from wuerst_demo.training.evaluate import drawn
from wuerst_demo.training.recipe import Recipe
from wuerst_demo.training.scenes import sample

TILE, LABEL, COLUMNS = 256, 26, 8


def prompts(recipe: Recipe, count: int, seed: int = 11) -> list[str]:
    """`count` captions of scenes that training never drew, of the things that the run knows."""
    rng = Random(seed)
    return [caption(sample(rng, recipe.known, allow_held_back=True), rng) for _ in range(count)]


def contact_sheet(recipe: Recipe, model: Wuerstchen, path: Path, count: int = 64) -> None:
    """Writes a JPEG with `count` pictures of 256 x 256 by the checkpoint."""
    asked = prompts(recipe, count)
    requests = [
        model.request(prompt=prompt, width=TILE, height=TILE, seed=k, weighting=False) for k, prompt in enumerate(asked)
    ]
    rows = math.ceil(count / COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + LABEL)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for k, (prompt, pixels) in enumerate(zip(asked, drawn(model, requests), strict=True)):
        left, top = k % COLUMNS * TILE, k // COLUMNS * (TILE + LABEL)
        sheet.paste(Image.fromarray(pixels), (left, top))
        pen.text((left + 4, top + TILE + 4), prompt[:42], fill="black", font=font)
    sheet.save(path, quality=90)
