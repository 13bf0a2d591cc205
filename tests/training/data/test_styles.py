"""Styles: each filter has the look that its name promises."""

import numpy as np
import pytest
from PIL import Image

from wuerst_demo.training.data.render import EMOJI_FONT, render
from wuerst_demo.training.data.scenes import Item, Scene
from wuerst_demo.training.data.styles import apply_style
from wuerst_demo.training.data.vocabulary import THINGS

pytestmark = pytest.mark.skipif(not EMOJI_FONT.exists(), reason="needs Debian's fonts-noto-color-emoji")
CAT = THINGS[0]


def image():
    return render(Scene((Item(CAT, 0.5, 0.5, 64),), "beach", "sunset", 1), 128, 128)


def styled(style):
    result = apply_style(image(), style)
    assert (result.mode, result.size) == ("RGB", (128, 128))
    return np.asarray(result, float)


def test_no_style_leaves_the_image_unchanged():
    assert apply_style(image(), "").tobytes() == image().tobytes()


def test_pixel_art_has_large_pixels_and_few_colours():
    pixels = styled("pixel art")
    assert np.array_equal(pixels, pixels[::8, ::8].repeat(8, 0).repeat(8, 1))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) <= 16


def test_black_and_white_keeps_the_brightness():
    pixels = styled("black and white")
    assert np.array_equal(pixels[..., 0], pixels[..., 2])
    light = np.asarray(image(), float) @ [0.299, 0.587, 0.114]
    assert np.abs(pixels[..., 0] - light).max() < 1.5


def test_a_pencil_sketch_is_dark_lines_on_white():
    pixels = styled("pencil sketch")
    assert np.array_equal(pixels[..., 0], pixels[..., 1])
    assert (pixels > 220).mean() > 0.6
    assert (pixels < 128).mean() > 0.005


def test_a_watercolour_is_paler():
    assert styled("watercolour").mean() > np.asarray(image(), float).mean() + 15


def test_neon_is_bright_lines_on_black():
    pixels = styled("neon").max(-1)
    assert np.median(pixels) < 60
    assert (pixels > 200).mean() > 0.01


def flat(style, *colour):
    """The pixel in the middle of a plain image in a style."""
    return apply_style(Image.new("RGB", (64, 64), colour), style).getpixel((32, 32))


def test_plain_paper_stays_plain_in_every_style():
    assert flat("pixel art", 200, 100, 50) == (200, 100, 50)
    assert flat("black and white", 200, 100, 50) == (124,) * 3
    assert flat("pencil sketch", 200, 100, 50) == (249,) * 3  # nearly white, as nothing changes
    assert flat("pencil sketch", 8, 8, 8) == (249,) * 3
    assert flat("pencil sketch", 6, 6, 6) == (int((1.7 * 6 / 8 - 0.72) * 255),) * 3  # what is nearly black stays dark
    assert flat("pencil sketch", 0, 0, 0) == (0,) * 3
    assert flat("watercolour", 200, 100, 50) == tuple(int(each * 0.62 + 255 * 0.38) for each in (200, 100, 50))
    assert flat("neon", 200, 100, 50) == (20, 10, 5)


def two_halves():
    half = Image.new("RGB", (64, 64), (220, 220, 220))
    half.paste((60, 60, 60), (32, 0, 64, 64))
    return half


def test_edges_are_drawn_dark_or_bright_and_only_where_they_are():
    sketch, paint, neon = (
        np.asarray(apply_style(two_halves(), style), int)[32, :, 0]
        for style in ("pencil sketch", "watercolour", "neon")
    )
    assert sketch[32:36].max() < 160
    assert sketch[:22].min() >= 249 <= sketch[46:].max()
    assert paint[29] < 0.85 * int(220 * 0.62 + 255 * 0.38)
    assert abs(paint[10] - int(220 * 0.62 + 255 * 0.38)) <= 1
    assert neon[31:33].max() == 255
    assert 20 < neon[37] < 200  # it glows
    assert abs(neon[8] - 22) <= 2


def test_the_border_of_an_image_is_no_edge():
    for style in ("neon", "watercolour", "pencil sketch"):
        image = np.asarray(apply_style(Image.new("RGB", (64, 64), (220, 60, 60)), style), int)
        assert np.ptp(image, axis=(0, 1)).max() == 0, style
