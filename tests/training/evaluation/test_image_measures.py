"""Sharpness and variety: known answers for rendered scenes, blurred, with grain, and moved."""

from random import Random

import numpy as np
import pytest
from PIL import Image, ImageFilter

from wuerst_demo.training.data.render import EMOJI_FONT, render
from wuerst_demo.training.data.scenes import sample_scene
from wuerst_demo.training.evaluation.evaluate import (
    CASCADE_COLUMN,
    DECODER_COLUMN,
    REFERENCE_COLUMN,
    VARIETY_EVERY,
    image_table,
)
from wuerst_demo.training.evaluation.image_measures import sharpness, variety


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    """Some rendered scenes, or discs in front of plain colours where there is no font."""
    rng = Random(4)
    if EMOJI_FONT.exists():
        return [np.asarray(render(sample_scene(rng), 256, 256)) for _ in range(10)]
    rows, columns = np.mgrid[:256, :256]
    discs = [(rows - 128) ** 2 + (columns - rng.randrange(64, 192)) ** 2 < 60**2 for _ in range(10)]
    return [np.where(disc[..., None], (200, 60, 40), (60, 120, 200)).astype(np.uint8) for disc in discs]


def blurred(image: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def grainy(image: np.ndarray, std: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, std, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def test_a_scene_drawn_by_code_is_as_sharp_as_itself(scenes):
    share, count = sharpness(scenes, scenes)
    assert share == 1
    assert 0 < count <= len(scenes)


def test_the_more_a_scene_is_blurred_the_less_sharp_it_is(scenes):
    shares = [sharpness([blurred(image, radius) for image in scenes], scenes)[0] for radius in (0, 0.5, 1, 2)]
    assert shares == sorted(shares, reverse=True)
    assert shares[1] < 0.9


@pytest.mark.parametrize("std", [3, 8])
def test_grain_is_not_taken_for_sharpness(scenes, std):
    assert sharpness([grainy(image, std) for image in scenes], scenes)[0] == pytest.approx(1, abs=0.03)
    soft = [blurred(image, 1) for image in scenes]
    assert sharpness([grainy(image, std) for image in soft], scenes)[0] == pytest.approx(
        sharpness(soft, scenes)[0], abs=0.03
    )


def test_sharp_things_may_be_elsewhere_than_in_the_drawn_scene(scenes):
    assert sharpness([np.roll(image, 32, 1) for image in scenes], scenes)[0] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("change", [lambda image: image.transpose(1, 0, 2), lambda image: 255 - image])
def test_an_edge_counts_the_same_in_both_directions_and_from_light_to_dark(scenes, change):
    soft = [blurred(image, 1) for image in scenes]
    changed = sharpness([change(image) for image in soft], [change(image) for image in scenes])
    assert changed == pytest.approx(sharpness(soft, scenes))


def test_scenes_that_are_full_of_edges_do_not_count(scenes):
    full = np.random.default_rng(0).integers(0, 255, scenes[0].shape, dtype=np.uint8)
    assert sharpness([full, *scenes], [full, *scenes]) == sharpness(scenes, scenes)
    assert np.isnan(sharpness([full], [full])[0])


def test_identical_pictures_have_no_variety_and_opposite_ones_all_of_it(scenes):
    assert variety(scenes, scenes) == 0
    black = np.zeros_like(scenes[0])
    assert variety([black], [255 - black]) == 1


def test_grain_is_not_taken_for_variety(scenes):
    other = [np.roll(image, 32, 1) for image in scenes]
    grain = variety(scenes, [grainy(image, 8) for image in scenes])
    assert grain < 0.1 * variety(scenes, other)


def test_the_table_has_no_variety_where_no_second_seed_was_drawn(scenes):
    images = {CASCADE_COLUMN: [blurred(each, 1) for each in scenes], DECODER_COLUMN: scenes, REFERENCE_COLUMN: scenes}
    same = {CASCADE_COLUMN: images[CASCADE_COLUMN][::VARIETY_EVERY], REFERENCE_COLUMN: scenes[1::VARIETY_EVERY]}
    rows = image_table(images, same).splitlines()[2:]
    sharp, varied = ([cell.strip() for cell in row.split("|")[3:-1]] for row in rows)
    assert sharp[1:] == ["100.0%", "100.0%"]
    assert float(sharp[0].rstrip("%")) < 60
    assert varied[:2] == ["0.0%", ""]
    assert float(varied[2].rstrip("%")) > 0
