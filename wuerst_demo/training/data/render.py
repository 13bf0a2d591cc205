"""Rendering of scenes: glyphs of a colour emoji font in front of backgrounds made of simple shapes.

Requires Debian's `fonts-noto-color-emoji` (SIL OFL 1.1), which is used for training only and is not distributed.
"""

import functools
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from wuerst_demo.errors import SetupError
from wuerst_demo.training.data.scenes import Item, Scene
from wuerst_demo.training.data.styles import apply_style
from wuerst_demo.training.data.vocabulary import COLOURS, GROUND_COLOURS, RGB, SKY_COLOURS

EMOJI_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
FONT_SIZE_PX = 109  #: The only size of the font's bitmaps.
_BRIGHTNESS = {"day": 1.0, "night": 0.38, "sunset": 0.72, "rain": 0.7, "stars": 0.46}
_GLYPH_BRIGHTNESS = {"night": 0.72, "sunset": 0.9, "rain": 0.88, "stars": 0.78}
_TINTS = {"sunset": (1.12, 0.9, 0.8), "night": (0.85, 0.92, 1.25), "stars": (0.85, 0.92, 1.25)}


def render(scene: Scene, width: int, height: int) -> Image.Image:
    """The scene as an RGB image of width x height pixels. Raises SetupError if the font is not installed."""
    if scene.place in COLOURS:
        colour = COLOURS[scene.place]
        image = _gradient(width, height, _shade(colour, 1.04), _shade(colour, 0.94))
    else:
        # twice the size, then halved: smooth edges at the cost of a few milliseconds
        image = _Background(scene, width * 2, height * 2).image.resize((width, height), Image.Resampling.BOX)
    for item in scene.items:
        _paste_item(image, item, scene)
    if scene.time == "rain":
        _rain(image, Random(scene.detail))
    return apply_style(image, scene.style)


class _Background:
    """A landscape, or space, of w x h pixels, painted from back to front."""

    def __init__(self, scene: Scene, w: int, h: int) -> None:
        rng = self.rng = Random(scene.detail)
        self.w, self.h, self.time = w, h, scene.time
        if scene.place == "space":
            self._begin(_gradient(w, h, (6, 4, 22), (30, 14, 58)))
            self._stars(h, 70)
            x, y, radius = rng.uniform(0.1, 0.9) * w, rng.uniform(0.08, 0.3) * h, rng.uniform(0.05, 0.1) * h
            self._disc(x, y, radius, (196, 120, 84))
        else:
            self._paint_landscape(scene.place)

    def _paint_landscape(self, place: str) -> None:
        w, h, rng, time = self.w, self.h, self.rng, self.time
        self.horizon = h * (rng.uniform(0.5, 0.6) if place != "sea" else rng.uniform(0.42, 0.52))
        self._begin(_gradient(w, h, *SKY_COLOURS[time], until=self.horizon / h))
        self._sky()
        self.light = _BRIGHTNESS[time]
        ground = _shade(GROUND_COLOURS[place], self.light, time)
        if place == "mountains":
            self._peaks()
        elif place == "city":
            self._towers()
        elif place == "beach":
            sea = _shade(GROUND_COLOURS["sea"], self.light, time)
            self.pen.rectangle((0, self.horizon - h * 0.09, w, self.horizon + 2), fill=sea)
        if place in ("city", "beach", "sea"):
            self.pen.rectangle((0, self.horizon, w, h), fill=ground)
        else:
            self._hills(ground, 0.03 if place != "desert" else 0.07)
        if place == "sea":
            self._waves(_shade(ground, 1.25))
        elif place == "city":
            for x in range(0, w, w // 6):
                self.pen.rectangle((x, h * 0.9, x + w // 12, h * 0.915), fill=_shade((240, 240, 220), self.light))
        elif place == "snow" and time in ("day", "sunset"):
            for _ in range(40):
                self._disc(rng.random() * w, rng.random() * self.horizon, 0.005 * h, (255, 255, 255))

    def _begin(self, image: Image.Image) -> None:
        self.image, self.pen = image, ImageDraw.Draw(image)

    def _sky(self) -> None:
        w, h, rng, time = self.w, self.h, self.rng, self.time
        if time == "stars":
            for _ in range(60):
                self._disc(rng.random() * w, rng.random() * h * 0.55, rng.uniform(2.5, 6.5), (255, 250, 214))
        elif time == "rain":
            for _ in range(4):
                self._cloud(rng.random() * w, rng.uniform(0.02, 0.14) * h, 0.07, 0.06, (92, 98, 108))
        elif time == "night":
            self._stars(h // 2, 28)
            self._disc(rng.uniform(0.1, 0.9) * w, rng.uniform(0.08, 0.2) * h, 0.055 * h, (244, 240, 214))
        elif time == "sunset":
            self._disc(rng.uniform(0.15, 0.85) * w, rng.uniform(0.36, 0.46) * h, 0.09 * h, (255, 222, 120))
        else:
            x = rng.choice((rng.uniform(0.08, 0.25), rng.uniform(0.75, 0.92))) * w
            self._disc(x, 0.12 * h, 0.06 * h, (255, 232, 110))
            for _ in range(rng.randrange(3)):
                self._cloud(rng.random() * w, rng.uniform(0.08, 0.3) * h, 0.05, 0.035, (250, 252, 255))

    def _cloud(self, x: float, y: float, spacing: float, radius: float, colour: RGB) -> None:
        """Four discs in a row; spacing and radius are shares of the width and the height."""
        for k in range(4):
            shift = self.rng.uniform(-0.012, 0.012) * self.h
            self._disc(x + (k - 1.5) * spacing * self.w, y + shift, radius * self.h, colour)

    def _stars(self, h: int, count: int) -> None:
        for _ in range(count):
            x, y = self.rng.random() * self.w, self.rng.random() * h
            self._disc(x, y, self.rng.uniform(1.6, 3.6), (255, 255, 236))

    def _peaks(self) -> None:
        rng, foot, cut = self.rng, self.horizon + 6, 0.3
        for k in range(4):
            x = self.w * (k + rng.uniform(0.2, 0.8)) / 4
            top, half = self.horizon * rng.uniform(0.25, 0.55), self.w * rng.uniform(0.16, 0.26)
            stone = _shade((122, 124, 142), self.light * rng.uniform(0.85, 1.1), self.time)
            self.pen.polygon(((x - half, foot), (x, top), (x + half, foot)), fill=stone)
            snow, line = _shade((248, 250, 255), max(self.light, 0.5), self.time), top + (self.horizon - top) * cut
            self.pen.polygon(((x - half * cut, line), (x, top), (x + half * cut, line)), fill=snow)

    def _towers(self) -> None:
        w, rng, x = self.w, self.rng, -0.02 * self.w
        pane = (252, 226, 130) if self.time not in ("day", "rain") else (214, 232, 244)
        step = 0.045 * w
        while x < w:
            wide, top = rng.uniform(0.09, 0.16) * w, self.horizon * rng.uniform(0.2, 0.7)
            wall = rng.choice(((150, 128, 118), (120, 134, 152), (168, 154, 136)))
            self.pen.rectangle((x, top, x + wide, self.horizon), fill=_shade(wall, self.light, self.time))
            for i in range(int((self.horizon - top) / step) - 1):
                for j in range(int(wide / step)):
                    left, upper = x + 0.012 * w + j * step, top + 0.015 * w + i * step
                    self.pen.rectangle((left, upper, left + step * 0.5, upper + step * 0.5), fill=pane)
            x += wide + 0.006 * w

    def _hills(self, ground: RGB, swing: float) -> None:
        w, h = float(self.w), float(self.h)
        for layer in range(2):
            phase, period = self.rng.uniform(0, 6.3), self.rng.uniform(0.8, 1.6)
            xs = np.linspace(0, w, 40)
            ys = self.horizon + layer * 0.12 * h + swing * h * np.sin(phase + xs / w * 6.3 * period)
            outline = [(0.0, h), *zip(xs.tolist(), ys.tolist(), strict=True), (w, h)]
            self.pen.polygon(outline, fill=_shade(ground, 1.0 - 0.08 * layer))

    def _waves(self, foam: RGB) -> None:
        for row in range(5):
            y = self.horizon + (self.h - self.horizon) * (row + 0.6) / 5
            for _ in range(4):
                x, r = self.rng.random() * self.w, self.w * 0.05 * (1 + row * 0.3)
                self.pen.arc((x - r, y - r * 0.25, x + r, y + r * 0.25), 20, 160, fill=foam, width=5)

    def _disc(self, x: float, y: float, r: float, fill: RGB) -> None:
        self.pen.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def _rain(image: Image.Image, rng: Random) -> None:
    """Slanting drops in front of everything."""
    w, h = image.size
    pen = ImageDraw.Draw(image)
    for _ in range(w * h // 1100):
        x, y, long = rng.random() * w * 1.1, rng.random() * h, rng.uniform(7, 13)
        pen.line((x, y, x - long * 0.3, y + long), fill=(206, 220, 236), width=1)


def _paste_item(image: Image.Image, item: Item, scene: Scene) -> None:
    """Pastes the glyph centred in its square, standing on the bottom edge, with a shadow on solid ground."""
    left, top, side = item.square(*image.size)
    glyph = ImageOps.contain(_glyph(item.thing.glyph), (side, side), Image.Resampling.LANCZOS)
    if item.colour:
        glyph = _tint(glyph, COLOURS[item.colour])
    light = _GLYPH_BRIGHTNESS.get(scene.time, 1.0)
    if light < 1:
        factors = (light, light, min(1.0, light * 1.12), 1.0)
        glyph = glyph.point([int(value * factor) for factor in factors for value in range(256)])
    left, top = left + (side - glyph.width) // 2, top + side - glyph.height
    if scene.time and scene.place != "sea":
        wide, tall, foot = glyph.width, glyph.height, top + glyph.height
        shadow = Image.new("L", image.size, 0)
        box = (left + wide * 0.08, foot - tall * 0.07, left + wide * 0.92, foot + tall * 0.05)
        ImageDraw.Draw(shadow).ellipse(box, fill=90)
        image.paste((0, 0, 0), mask=shadow.filter(ImageFilter.GaussianBlur(2)))
    image.paste(glyph, (left, top), glyph)


def _tint(glyph: Image.Image, colour: RGB) -> Image.Image:
    """The RGBA glyph in shades of one colour, light and dark where it was."""
    pixels = np.asarray(glyph).astype(np.float32)
    grey = pixels[..., :3] @ np.array([0.3, 0.59, 0.11], np.float32) / 255
    opaque = pixels[..., 3] > 128
    median = float(np.median(grey[opaque])) if opaque.any() else 0.5
    shade = np.clip(0.35 + 0.65 * grey / max(median, 0.15), 0.2, 1.5)[..., None] * np.array(colour, np.float32)
    mixed = 0.12 * pixels[..., :3] + 0.88 * np.clip(shade, 0, 255)
    return Image.fromarray(np.concatenate([mixed, pixels[..., 3:]], -1).astype(np.uint8), "RGBA")


@functools.cache
def _glyph(character: str) -> Image.Image:
    """The glyph's RGBA bitmap, cropped to its edges."""
    if not EMOJI_FONT.exists():
        raise SetupError(f"Training needs the emoji font {EMOJI_FONT.name}: apt-get install fonts-noto-color-emoji.")
    font = ImageFont.truetype(str(EMOJI_FONT), FONT_SIZE_PX)
    canvas = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(canvas).text((20, 20), character, font=font, embedded_color=True)
    box = canvas.getbbox()
    if box is None:
        missing = f"{EMOJI_FONT.name} has no glyph U+{ord(character):04X}"
        raise SetupError(f"{missing}; install a newer fonts-noto-color-emoji.")
    return canvas.crop(box)


def _gradient(w: int, h: int, top: RGB, bottom: RGB, until: float = 1.0) -> Image.Image:
    """A vertical gradient that reaches `bottom` at the share `until` of the height."""
    share = np.clip(np.linspace(0, 1, h, dtype=np.float32) / until, 0, 1)[:, None, None]
    rows = np.array(top, np.float32) * (1 - share) + np.array(bottom, np.float32) * share
    return Image.fromarray(np.broadcast_to(np.clip(rows, 0, 255), (h, w, 3)).astype(np.uint8), "RGB")


def _shade(colour: RGB, light: float, time: str = "") -> RGB:
    tint = _TINTS.get(time, (1.0, 1.0, 1.0))
    red, green, blue = (min(255, int(c * light * t)) for c, t in zip(colour, tint, strict=True))
    return red, green, blue
