"""Draws scenes: glyphs of a colour emoji font before backgrounds made of a few shapes.

Needs Debian's `fonts-noto-color-emoji` (SIL OFL 1.1); the font is used for training only and never shipped.
Does not know captions or networks.
"""

from __future__ import annotations

import functools
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from wuerst_demo.errors import SetupError
from wuerst_demo.training.scenes import Item, Scene
from wuerst_demo.training.styles import restyle
from wuerst_demo.training.things import COLOURS

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
STRIKE = 109
"""The font holds bitmaps of one size only."""

RGB = tuple[int, int, int]
_SKY: dict[str, tuple[RGB, RGB]] = {
    "day": ((88, 168, 240), (205, 232, 250)),
    "night": ((8, 10, 34), (32, 38, 84)),
    "sunset": ((96, 62, 130), (252, 150, 62)),
    "rain": ((104, 112, 124), (168, 176, 186)),
    "stars": ((14, 12, 58), (58, 40, 112)),
}
_LIGHT = {"day": 1.0, "night": 0.38, "sunset": 0.72, "rain": 0.7, "stars": 0.46, "": 1.0}
_GROUND: dict[str, RGB] = {
    "grass": (98, 178, 74),
    "beach": (238, 214, 150),
    "snow": (240, 245, 252),
    "sea": (30, 106, 178),
    "desert": (222, 168, 92),
    "mountains": (120, 160, 92),
    "city": (112, 114, 120),
}


def draw(scene: Scene, width: int, height: int) -> Image.Image:
    """The scene as an RGB picture of width x height pixels. Raises SetupError where the font is not installed."""
    picture = _background(scene, width, height)
    for item in scene.items:
        _put(picture, item, scene)
    if scene.time == "rain":
        _rain(picture, Random(scene.detail))
    return restyle(picture, scene.style)


def _background(scene: Scene, width: int, height: int) -> Image.Image:
    rng = Random(scene.detail)
    if scene.place in COLOURS:
        return _gradient(width, height, _shade(COLOURS[scene.place], 1.04), _shade(COLOURS[scene.place], 0.94))
    # twice the size, then halved: smooth edges at the cost of a few milliseconds
    w, h = width * 2, height * 2
    if scene.place == "space":
        picture = _gradient(w, h, (6, 4, 22), (30, 14, 58))
        pen = ImageDraw.Draw(picture)
        _stars(pen, rng, w, h, 70)
        _disc(pen, rng.uniform(0.1, 0.9) * w, rng.uniform(0.08, 0.3) * h, rng.uniform(0.05, 0.1) * h, (196, 120, 84))
        return picture.resize((width, height), Image.Resampling.BOX)
    top, bottom = _SKY[scene.time]
    horizon = h * (rng.uniform(0.5, 0.6) if scene.place != "sea" else rng.uniform(0.42, 0.52))
    picture = _gradient(w, h, top, bottom, until=horizon / h)
    pen = ImageDraw.Draw(picture)
    _sky(pen, rng, scene.time, w, h)
    light = _LIGHT[scene.time]
    ground = _shade(_GROUND[scene.place], light, scene.time)
    if scene.place == "mountains":
        _peaks(pen, rng, w, horizon, light, scene.time)
    elif scene.place == "city":
        _towers(pen, rng, w, horizon, scene.time)
    elif scene.place == "beach":
        pen.rectangle((0, horizon - h * 0.09, w, horizon + 2), fill=_shade(_GROUND["sea"], light, scene.time))
    if scene.place in ("city", "beach", "sea"):
        pen.rectangle((0, horizon, w, h), fill=ground)
    else:
        _hills(pen, rng, w, h, horizon, ground, 0.03 if scene.place != "desert" else 0.07)
    if scene.place == "sea":
        _waves(pen, rng, w, h, horizon, _shade(ground, 1.25))
    elif scene.place == "city":
        for x in range(0, w, w // 6):
            pen.rectangle((x, h * 0.9, x + w // 12, h * 0.915), fill=_shade((240, 240, 220), light))
    elif scene.place == "snow" and scene.time in ("day", "sunset"):
        for _ in range(40):
            _disc(pen, rng.random() * w, rng.random() * horizon, 0.005 * h, (255, 255, 255))
    return picture.resize((width, height), Image.Resampling.BOX)


def _sky(pen: ImageDraw.ImageDraw, rng: Random, time: str, w: int, h: int) -> None:
    if time == "stars":
        for _ in range(60):
            _disc(pen, rng.random() * w, rng.random() * h * 0.55, rng.uniform(2.5, 6.5), (255, 250, 214))
    elif time == "rain":
        for _ in range(4):
            x, y = rng.random() * w, rng.uniform(0.02, 0.14) * h
            for k in range(4):
                _disc(pen, x + (k - 1.5) * 0.07 * w, y + rng.uniform(-0.012, 0.012) * h, 0.06 * h, (92, 98, 108))
    elif time == "night":
        _stars(pen, rng, w, h // 2, 28)
        x, y, r = rng.uniform(0.1, 0.9) * w, rng.uniform(0.08, 0.2) * h, 0.055 * h
        _disc(pen, x, y, r, (244, 240, 214))
    elif time == "sunset":
        _disc(pen, rng.uniform(0.15, 0.85) * w, rng.uniform(0.36, 0.46) * h, 0.09 * h, (255, 222, 120))
    else:
        _disc(
            pen, rng.choice((rng.uniform(0.08, 0.25), rng.uniform(0.75, 0.92))) * w, 0.12 * h, 0.06 * h, (255, 232, 110)
        )
        for _ in range(rng.randrange(3)):
            x, y = rng.random() * w, rng.uniform(0.08, 0.3) * h
            for k in range(4):
                _disc(pen, x + (k - 1.5) * 0.05 * w, y + rng.uniform(-0.012, 0.012) * h, 0.035 * h, (250, 252, 255))


def _rain(picture: Image.Image, rng: Random) -> None:
    """Slanting drops before everything."""
    w, h = picture.size
    pen = ImageDraw.Draw(picture)
    for _ in range(w * h // 1100):
        x, y, long = rng.random() * w * 1.1, rng.random() * h, rng.uniform(7, 13)
        pen.line((x, y, x - long * 0.3, y + long), fill=(206, 220, 236), width=1)


def _stars(pen: ImageDraw.ImageDraw, rng: Random, w: int, h: int, count: int) -> None:
    for _ in range(count):
        _disc(pen, rng.random() * w, rng.random() * h, rng.uniform(1.6, 3.6), (255, 255, 236))


def _peaks(pen: ImageDraw.ImageDraw, rng: Random, w: int, horizon: float, light: float, time: str) -> None:
    for k in range(4):
        x, top, half = (
            w * (k + rng.uniform(0.2, 0.8)) / 4,
            horizon * rng.uniform(0.25, 0.55),
            w * rng.uniform(0.16, 0.26),
        )
        stone = _shade((122, 124, 142), light * rng.uniform(0.85, 1.1), time)
        pen.polygon(((x - half, horizon + 6), (x, top), (x + half, horizon + 6)), fill=stone)
        cut = 0.3
        pen.polygon(
            ((x - half * cut, top + (horizon - top) * cut), (x, top), (x + half * cut, top + (horizon - top) * cut)),
            fill=_shade((248, 250, 255), max(light, 0.5), time),
        )


def _towers(pen: ImageDraw.ImageDraw, rng: Random, w: int, horizon: float, time: str) -> None:
    x = -0.02 * w
    while x < w:
        wide, top = rng.uniform(0.09, 0.16) * w, horizon * rng.uniform(0.2, 0.7)
        wall = _shade(rng.choice(((150, 128, 118), (120, 134, 152), (168, 154, 136))), _LIGHT[time], time)
        pen.rectangle((x, top, x + wide, horizon), fill=wall)
        pane = (252, 226, 130) if time not in ("day", "rain") else (214, 232, 244)
        step = 0.045 * w
        for i in range(int((horizon - top) / step) - 1):
            for j in range(int(wide / step)):
                left, upper = x + 0.012 * w + j * step, top + 0.015 * w + i * step
                pen.rectangle((left, upper, left + step * 0.5, upper + step * 0.5), fill=pane)
        x += wide + 0.006 * w


def _hills(pen: ImageDraw.ImageDraw, rng: Random, w: int, h: int, horizon: float, ground: RGB, swing: float) -> None:
    for layer in range(2):
        phase, period = rng.uniform(0, 6.3), rng.uniform(0.8, 1.6)
        xs = np.linspace(0, w, 40)
        base = horizon + layer * 0.12 * h
        ys = base + swing * h * np.sin(phase + xs / w * 6.3 * period)
        outline = [(0.0, float(h)), *zip(xs.tolist(), ys.tolist(), strict=True), (float(w), float(h))]
        pen.polygon(outline, fill=_shade(ground, 1.0 - 0.08 * layer))


def _waves(pen: ImageDraw.ImageDraw, rng: Random, w: int, h: int, horizon: float, foam: RGB) -> None:
    for row in range(5):
        y = horizon + (h - horizon) * (row + 0.6) / 5
        for _ in range(4):
            x, long = rng.random() * w, w * 0.05 * (1 + row * 0.3)
            pen.arc((x - long, y - long * 0.25, x + long, y + long * 0.25), 20, 160, fill=foam, width=5)


def _put(picture: Image.Image, item: Item, scene: Scene) -> None:
    glyph = _glyph(item.thing.glyph)
    left, top, side = item.square(*picture.size)
    scale = side / max(glyph.size)
    glyph = glyph.resize(
        (max(1, round(glyph.width * scale)), max(1, round(glyph.height * scale))), Image.Resampling.LANCZOS
    )
    if item.colour:
        glyph = _painted(glyph, COLOURS[item.colour])
    light = {"night": 0.72, "sunset": 0.9, "rain": 0.88, "stars": 0.78}.get(scene.time, 1.0)
    if light < 1:
        red, green, blue, alpha = glyph.split()
        red, green, blue = (
            band.point(lambda v, f=f: int(v * f))
            for band, f in ((red, light), (green, light), (blue, min(1.0, light * 1.12)))
        )
        glyph = Image.merge("RGBA", (red, green, blue, alpha))
    # in the middle of its square, on the ground
    left, top = left + (side - glyph.width) // 2, top + side - glyph.height
    if scene.time and scene.place != "sea":
        _shadow(picture, left, top, glyph.width, glyph.height)
    picture.paste(glyph, (left, top), glyph)


def _shadow(picture: Image.Image, left: int, top: int, wide: int, side: int) -> None:
    shadow = Image.new("L", picture.size, 0)
    foot = top + side
    ImageDraw.Draw(shadow).ellipse(
        (left + wide * 0.08, foot - side * 0.07, left + wide * 0.92, foot + side * 0.05), fill=90
    )
    picture.paste((0, 0, 0), mask=shadow.filter(ImageFilter.GaussianBlur(2)))


def _painted(glyph: Image.Image, colour: RGB) -> Image.Image:
    """The glyph in shades of one colour; its own light and dark stay."""
    pixels = np.asarray(glyph).astype(np.float32)
    grey = pixels[..., :3] @ np.array([0.3, 0.59, 0.11], np.float32) / 255
    solid = pixels[..., 3] > 128
    middle = float(np.median(grey[solid])) if solid.any() else 0.5
    shade = np.clip(0.35 + 0.65 * grey / max(middle, 0.15), 0.2, 1.5)[..., None] * np.array(colour, np.float32)
    mixed = 0.12 * pixels[..., :3] + 0.88 * np.clip(shade, 0, 255)
    return Image.fromarray(np.concatenate([mixed, pixels[..., 3:]], -1).astype(np.uint8), "RGBA")


@functools.cache
def _glyph(character: str) -> Image.Image:
    """The glyph's bitmap, cut to its edges."""
    if not FONT.exists():
        raise SetupError(f"Training needs the emoji font {FONT.name}: apt-get install fonts-noto-color-emoji.")
    font = ImageFont.truetype(str(FONT), STRIKE)
    canvas = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(canvas).text((20, 20), character, font=font, embedded_color=True)
    box = canvas.getbbox()
    if box is None:
        raise SetupError(f"{FONT.name} has no glyph U+{ord(character):04X}; install a newer fonts-noto-color-emoji.")
    return canvas.crop(box)


def _gradient(w: int, h: int, top: RGB, bottom: RGB, until: float = 1.0) -> Image.Image:
    share = np.clip(np.linspace(0, 1, h, dtype=np.float32) / until, 0, 1)[:, None, None]
    rows = np.array(top, np.float32) * (1 - share) + np.array(bottom, np.float32) * share
    return Image.fromarray(np.broadcast_to(np.clip(rows, 0, 255), (h, w, 3)).astype(np.uint8), "RGB")


def _disc(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, fill: RGB) -> None:
    pen.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def _shade(colour: RGB, light: float, time: str = "") -> RGB:
    tint = (
        (1.12, 0.9, 0.8) if time == "sunset" else (0.85, 0.92, 1.25) if time in ("night", "stars") else (1.0, 1.0, 1.0)
    )
    red, green, blue = (min(255, int(c * light * t)) for c, t in zip(colour, tint, strict=True))
    return red, green, blue
