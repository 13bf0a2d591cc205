"""Latents as images, against arrays whose colours are known."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from wuerst_demo.web.explain.latent_images import (
    encode_data_uri,
    fit_to_image,
    project_to_rgb,
    render_channel_maps,
    render_strip,
    sample_indices,
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def opened(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_the_three_principal_components_become_the_colours():
    colors = random(3, 12 * 12) * np.array([[9.0], [3.0], [1.0]])  # distinguished by their variance
    mixing = np.linalg.qr(random(16, 3, seed=1))[0]
    step = (mixing @ colors).reshape(16, 12, 12)
    (frame,) = project_to_rgb([step])
    assert frame.shape == (12, 12, 3)
    for k in range(3):
        related = np.corrcoef(frame[..., k].ravel(), colors[k])[0, 1]
        assert abs(related) > 0.95


def test_all_frames_share_the_scale_of_the_last_one():
    final = random(16, 6, 6)
    early, last = project_to_rgb([0.2 * final + 0.8 * final.mean(axis=(1, 2), keepdims=True), final])
    assert early.std() < last.std() / 2


def test_constant_and_tiny_latents_have_colours_too():
    assert project_to_rgb([np.zeros((16, 6, 6), dtype=np.float32)])[0].shape == (6, 6, 3)
    assert project_to_rgb([random(16, 1, 2)])[0].shape == (1, 2, 3)


def test_each_channel_is_a_map_blue_below_and_yellow_above_zero():
    step = np.zeros((16, 2, 3), dtype=np.float32)
    step[5], step[10] = 1.0, -1.0
    (frame,) = render_channel_maps([step])
    assert frame.shape == (4 * 3 - 1, 4 * 4 - 1, 3)
    yellow, blue, zero = frame[3:5, 4:7].astype(int), frame[6:8, 8:11].astype(int), frame[:2, :3].astype(int)
    assert (yellow[..., 0] > yellow[..., 2] + 60).all()
    assert (blue[..., 2] > blue[..., 0] + 60).all()
    assert np.ptp(zero, axis=-1).max() < 10


def test_latents_that_are_colours_already_give_the_image_itself():
    pixels = np.random.default_rng(2).uniform(0.1, 0.9, size=(8, 8, 3))
    picture = Image.fromarray(np.round(pixels * 255).astype(np.uint8)).resize((32, 32), Image.Resampling.NEAREST)
    latents = np.concatenate([3 * pixels.transpose(2, 0, 1)[::-1] - 1, random(1, 8, 8)]).astype(np.float32)
    half, last = fit_to_image([(latents + latents.mean(axis=(1, 2), keepdims=True)) / 2, latents], picture)
    assert np.abs(last.astype(int) - np.round(pixels * 255)).max() <= 1
    assert half.std() < last.std()


def test_a_strip_has_its_frames_side_by_side_pixel_for_pixel():
    frames = [np.full((4, 6, 3), 50 * k, dtype=np.uint8) for k in range(5)]
    few = opened(render_strip(frames, "PNG"))
    many = np.random.default_rng(0).integers(0, 256, size=(16, 40, 3), dtype=np.uint8)
    assert (few.mode, few.size) == ("P", (30, 4))
    assert np.array_equal(np.asarray(few.convert("RGB")), np.concatenate(frames, axis=1))
    assert np.array_equal(np.asarray(opened(render_strip([many, many], "PNG"))), np.concatenate([many, many], axis=1))
    assert opened(render_strip(frames, "WEBP")).size == (30, 4)
    assert opened(encode_data_uri(Image.new("RGB", (7, 5)), "WEBP")).format == "WEBP"


@pytest.mark.parametrize(("count", "most"), [(1, 40), (20, 40), (40, 40), (41, 40), (100, 40), (7, 2)])
def test_frames_are_chosen_evenly_with_the_first_and_the_last(count, most):
    found = sample_indices(count, most)
    assert found[0] == 0
    assert found[-1] == count - 1
    assert len(found) == min(count, most)
    gaps = set(np.diff(found).tolist())
    assert not gaps or max(gaps) - min(gaps) <= 1
