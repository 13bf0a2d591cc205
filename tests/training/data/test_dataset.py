"""The dataset: scenes and batches follow from their numbers, and files appear once they are complete."""

from pathlib import Path

import numpy as np
import pytest

from wuerst_demo.training.data.dataset import Batch, SceneDataset
from wuerst_demo.training.data.render import EMOJI_FONT, render
from wuerst_demo.training.data.vocabulary import THINGS

needs_font = pytest.mark.skipif(not EMOJI_FONT.exists(), reason="needs Debian's fonts-noto-color-emoji")
SQUARE, WIDE = (256, 256), (384, 256)


def test_large_images_have_no_crowds(tmp_path: Path):
    dataset = SceneDataset(tmp_path, {(256, 256): 40, (384, 384): 40}, THINGS, crowded=0.5)
    kinds = {size: {dataset.scene(size, k).kind for k in range(40)} for size in dataset.counts}
    assert "crowd" in kinds[256, 256]
    assert "crowd" not in kinds[384, 384]


def test_scenes_follow_from_their_size_number_and_series(tmp_path: Path):
    dataset = SceneDataset(tmp_path, {SQUARE: 40, WIDE: 40}, THINGS)
    assert Batch(dataset, SQUARE, np.arange(20)).scenes == [dataset.scene(SQUARE, k) for k in range(20)]
    others = SceneDataset(tmp_path, dataset.counts, THINGS, series="other")
    assert dataset.scene(SQUARE, 1) != dataset.scene(WIDE, 1)
    assert dataset.scene(SQUARE, 1) != others.scene(SQUARE, 1)


def test_batches_follow_from_the_step_and_cost_about_the_same(tmp_path: Path):
    dataset = SceneDataset(tmp_path, {SQUARE: 300, WIDE: 100}, THINGS)
    sizes = []
    for step in range(200):
        batch, again = (dataset.sample_batch(step, 24) for _ in range(2))
        numbers = batch.numbers.tolist()
        assert (again.size, again.numbers.tolist()) == (batch.size, numbers)
        assert numbers == sorted(numbers)
        assert numbers[-1] < dataset.counts[batch.size]
        assert len(batch.scenes) == len(numbers) == (24 if batch.size == SQUARE else 16)
        sizes.append(batch.size)
    assert sizes.count(SQUARE) / len(sizes) == pytest.approx(0.75, abs=0.1)


@needs_font
def test_images_are_rendered_once_and_arrays_are_derived_from_all_of_them(tmp_path: Path):
    dataset = SceneDataset(tmp_path, {SQUARE: 3, WIDE: 1}, THINGS)
    dataset.render(workers=1)
    images = dataset.array("pictures", WIDE)
    assert (images.shape, images.dtype) == ((1, 256, 384, 3), np.uint8)
    assert np.array_equal(images[0], np.asarray(render(dataset.scene(WIDE, 0), *WIDE)))
    times = [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())]
    dataset.render(workers=1)
    assert times == [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())]

    dataset.derive("z", lambda batch: np.stack([np.full((2, batch.size[0]), k, np.float16) for k in batch.numbers]))
    assert list(tmp_path.glob("z-*.npy"))
    assert dataset.array("z", SQUARE).shape == (3, 2, 256)
    assert dataset.array("z", SQUARE)[:, 0, 0].tolist() == [0, 1, 2]
    dataset.delete("z")
    assert not list(tmp_path.glob("z-*.npy"))


def test_an_interrupted_file_does_not_appear(tmp_path: Path):
    dataset = SceneDataset(tmp_path, {SQUARE: 40}, THINGS)

    def interrupted(batch):
        if batch.numbers[0]:
            raise KeyboardInterrupt
        return np.zeros((len(batch.numbers), 1), np.float16)

    with pytest.raises(KeyboardInterrupt):
        dataset.derive("z", interrupted)
    assert not list(tmp_path.glob("z-*.npy"))
