"""What the classifier does not see in images: how sharp they are, and how different two seeds make them."""

from collections.abc import Sequence

import numpy as np

BLOCK_PX = 16  #: Side of the blocks in which edges are looked for.
FLAT_ENERGY = 2e-5
"""Edge energy below which a block of a rendered scene has no edges: 1.1 of 255 from one pixel to the next."""
MIN_FLAT_SHARE = 0.1  #: Scenes with fewer blocks without edges, as in the rain, do not count.
COARSE_PX = 8  #: Images are compared in squares of this side: neither grain nor the place of an edge makes variety.


def sharpness(images: Sequence[np.ndarray], scenes: Sequence[np.ndarray]) -> tuple[float, int]:
    """The edge energy of images (H, W, 3) relative to that of the same scenes, rendered; and the number of scenes that
    count. NaN if none does.

    Energy that is as high where there are no edges does not count, so that grain is not taken for sharpness: that of as
    many of the image's flattest blocks as the rendered scene has blocks without edges. The edges may be elsewhere than
    in the rendered scene, since a prompt does not say where hills are.
    """
    energies = [(_block_energies(image), _block_energies(scene)) for image, scene in zip(images, scenes, strict=True)]
    flat = [int((drawn < FLAT_ENERGY).sum()) for _, drawn in energies]
    pairs = [(k, each) for k, each in zip(flat, energies, strict=True) if k >= MIN_FLAT_SHARE * each[1].size]
    found, expected = (sum(_edge_energy(each[side], k) for k, each in pairs) for side in (0, 1))
    return (found / expected if expected else float("nan")), len(pairs)


def variety(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """How different pairs of images (H, W, 3) are: mean absolute difference of their coarse colours, as a share of the
    range of values; 0 for identical images."""
    differences = [np.abs(_coarse(one) - _coarse(other)).mean() for one, other in zip(first, second, strict=True)]
    return float(np.mean(differences)) / 255


def _edge_energy(blocks: np.ndarray, flat: int) -> float:
    """Mean energy of `blocks` in excess of the `flat` lowest."""
    return float(blocks.mean() - np.sort(blocks)[:flat].mean())


def _block_energies(image: np.ndarray) -> np.ndarray:
    """Mean squared difference of neighbouring pixels in each block of an image (H, W, 3), a flat array."""
    pixels = image.astype(np.float64) / 255
    energy = np.diff(pixels, axis=0)[:, :-1] ** 2 + np.diff(pixels, axis=1)[:-1] ** 2
    energy = np.pad(energy.mean(-1), ((0, 1), (0, 1)), "edge")  # the last row and column have no next one
    return _block_means(energy[..., None], BLOCK_PX).ravel()


def _coarse(image: np.ndarray) -> np.ndarray:
    return _block_means(image.astype(np.float64), COARSE_PX)


def _block_means(values: np.ndarray, side: int) -> np.ndarray:
    """Means of squares of (H, W, C); what does not fill a square is left out."""
    rows, columns, channels = values.shape[0] // side, values.shape[1] // side, values.shape[2]
    squares = values[: rows * side, : columns * side].reshape(rows, side, columns, side, channels)
    means: np.ndarray = squares.mean((1, 3))
    return means
