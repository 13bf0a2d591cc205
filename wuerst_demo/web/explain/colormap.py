"""Cividis, a color map from dark blue over gray to yellow that people see alike with any kind of color vision.

Source: Nuñez, Anderton, Renslow: "Optimizing colormaps with consideration for color vision deficiency", PLOS ONE 2018.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ANCHORS = np.array(
    [
        *((0, 32, 76), (0, 42, 102), (0, 52, 110), (39, 63, 108), (60, 74, 107), (76, 85, 107)),
        *((91, 95, 109), (104, 106, 112), (117, 117, 117), (131, 129, 120), (146, 140, 120), (161, 152, 118)),
        *((176, 165, 114), (192, 177, 109), (209, 191, 102), (225, 204, 92), (243, 219, 79), (255, 233, 69)),
    ]
)
"""Colors at even distances, between which it is linear."""


def apply_colormap(share: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Colors (..., 3) of values (...) from 0 to 1; what is beyond has the color of the nearest end."""
    positions = np.linspace(0, 1, len(_ANCHORS))
    colors = [np.interp(share, positions, _ANCHORS[:, channel]) for channel in range(3)]
    return np.round(np.stack(colors, axis=-1)).astype(np.uint8)


def list_colors(count: int) -> list[str]:
    """Colors from the lowest to the highest value, as in style sheets."""
    return ["#" + bytes(color).hex() for color in apply_colormap(np.linspace(0, 1, count))]
