"""The color map of the maps, against what its authors promise of it."""

from __future__ import annotations

import numpy as np
from PIL import ImageColor

from wuerst_demo.web.explain.colormap import apply_colormap, list_colors


def lightness(colors):
    """CIE L* of sRGB colors (n, 3), from its definition."""
    share = colors / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)


def test_its_ends_are_those_of_cividis_and_its_middle_is_grey():
    low, middle, high = apply_colormap(np.array([0, 0.5, 1])).astype(int)
    assert np.abs(low - [0, 34, 78]).max() <= 2  # as in matplotlib
    assert np.abs(high - [254, 232, 56]).max() <= 13
    assert np.abs(middle - [125, 124, 120]).max() <= 4


# fmt: off
CIVIDIS = [
    "#00204c", "#002a66", "#00346e", "#273f6c", "#3c4a6b", "#4c556b", "#5b5f6d", "#686a70", "#757575",
    "#838178", "#928c78", "#a19876", "#b0a572", "#c0b16d", "#d1bf66", "#e1cc5c", "#f3db4f", "#ffe945",
]
"""Every fifteenth of the 256 colors as published, in the copy of bokeh.palettes.Cividis256."""
# fmt: on


def test_its_colours_are_the_published_ones():
    assert list_colors(18) == CIVIDIS


def test_lightness_rises_evenly_so_that_it_can_be_read_without_colours():
    steps = np.diff(lightness(apply_colormap(np.linspace(0, 1, 30)).astype(float)))
    assert steps.min() > 0
    assert steps.max() < 2 * steps.mean()


def test_red_blind_eyes_see_every_difference_that_others_see():
    """Protanopia as simulated by Viénot, Brettel and Mollon (1999), in linear RGB."""
    protanopia = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    colors = (apply_colormap(np.linspace(0, 1, 9)) / 255) ** 2.2
    seen = np.abs(np.diff(colors @ protanopia.T, axis=0)).sum(axis=1)
    usual = np.abs(np.diff(colors, axis=0)).sum(axis=1)
    assert (seen > usual / 2).all()


def test_values_beyond_the_ends_and_arrays_of_any_shape_have_colours():
    assert np.array_equal(apply_colormap(np.array([[-1.0, 2.0]])), apply_colormap(np.array([[0.0, 1.0]])))
    assert [ImageColor.getrgb(each) for each in list_colors(2)] == [(0, 32, 76), (255, 233, 69)]
