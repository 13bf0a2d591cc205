"""Batches: images and derived arrays as tensors, and what is computed from images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from wuerst_demo.training.data.batches import BatchLoader, downscale
from wuerst_demo.training.data.dataset import Batch, SceneDataset
from wuerst_demo.training.data.vocabulary import THINGS

SIZE = (256, 256)


@pytest.fixture
def loader(tmp_path: Path) -> BatchLoader:
    """Three images of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 256, 256, 3), np.uint8)
    np.save(tmp_path / "pictures-256x256.npy", noise)
    return BatchLoader(SceneDataset(tmp_path, {SIZE: 3}, THINGS), torch.device("cpu"))


def test_images_are_scaled(loader: BatchLoader):
    batch = Batch(loader.dataset, SIZE, np.array([0, 2]))
    images = loader.images(batch)
    assert (images.shape, images.dtype) == ((2, 3, 256, 256), torch.float32)
    expected = loader.dataset.array("pictures", SIZE)[2, 7, 9, 1] / 255
    assert images[1, 1, 7, 9].item() == pytest.approx(expected)


@pytest.mark.parametrize("half", [None, torch.bfloat16])
def test_derived_arrays_are_what_was_computed_of_all_images(loader: BatchLoader, half):
    loader.derive("z", lambda images: downscale(images, 1 / 32), half)
    batch = Batch(loader.dataset, SIZE, np.arange(3))
    derived = loader.derived("z", batch)
    assert derived.dtype == torch.float32
    torch.testing.assert_close(derived, downscale(loader.images(batch), 1 / 32), rtol=0, atol=0.01)
