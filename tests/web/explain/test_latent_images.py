"""Latents as images, against arrays whose colours are known."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from wuerst_demo.web.explain.colormap import apply_colormap
from wuerst_demo.web.explain.latent_images import (
    encode_data_uri,
    fit_to_image,
    project_to_component,
    render_channel_maps,
    render_strip,
    sample_indices,
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def opened(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def shown_shares(frame):
    """Values from 0 to 1 whose colors a frame has: the nearest of the color map's."""
    values = np.arange(65) / 64
    far = np.abs(frame[:, :, None].astype(int) - apply_colormap(values).astype(int)).sum(axis=-1)
    assert far.min(axis=-1).max() == 0  # each color is one of the map's
    return values[far.argmin(axis=-1)]


def test_the_first_principal_component_becomes_a_colour_of_the_map():
    numbers = random(3, 12 * 12) * np.array([[9.0], [3.0], [1.0]])  # distinguished by their variance
    mixing = np.linalg.qr(random(16, 3, seed=1))[0]
    component = project_to_component([(mixing @ numbers).reshape(16, 12, 12)])
    shown = shown_shares(component.frames[0])
    assert abs(np.corrcoef(shown.ravel(), numbers[0])[0, 1]) > 0.95
    assert component.variance_share == pytest.approx(81 / 91, abs=0.04)


def test_the_brightest_and_the_darkest_position_are_named():
    step = np.zeros((16, 4, 6), dtype=np.float32)
    step[7, 3, 1], step[7, 0, 5] = 2.0, -1.0
    component = project_to_component([step])
    assert (component.highest, component.lowest) == ((3, 1), (0, 5))
    shown = shown_shares(component.frames[0])
    assert shown[3, 1] == shown.max() > shown.min() == shown[0, 5]


def test_all_frames_share_the_scale_of_the_last_one():
    final = random(16, 6, 6)
    early, last = project_to_component([0.2 * final + 0.8 * final.mean(axis=(1, 2), keepdims=True), final]).frames
    assert early.std() < last.std() / 2


def test_constant_and_tiny_latents_have_colours_too():
    constant = project_to_component([np.zeros((16, 6, 6), dtype=np.float32)])
    assert (constant.frames[0].shape, constant.variance_share) == ((6, 6, 3), 0)
    assert project_to_component([random(16, 1, 2)]).frames[0].shape == (1, 2, 3)


def test_each_channel_is_a_map_blue_below_and_yellow_above_zero():
    step = np.zeros((16, 2, 3), dtype=np.float32)
    step[5], step[10] = 1.0, -1.0
    (frame,) = render_channel_maps([step])
    assert frame.shape == (4 * 3 - 1, 4 * 4 - 1, 3)
    yellow, blue, zero = frame[3:5, 4:7].astype(int), frame[6:8, 8:11].astype(int), frame[:2, :3].astype(int)
    assert (yellow[..., 0] > yellow[..., 2] + 60).all()
    assert (blue[..., 2] > blue[..., 0] + 60).all()
    assert np.ptp(zero, axis=-1).max() < 10


def test_the_gaps_between_maps_let_the_page_through():
    strip = opened(render_strip(render_channel_maps([random(16, 2, 3)] * 2), "PNG"))
    alpha = np.asarray(strip.convert("RGBA"))[..., 3]
    gap = np.ones((11, 15), bool)
    for y in range(4):
        for x in range(4):
            gap[3 * y : 3 * y + 2, 4 * x : 4 * x + 3] = False
    assert np.array_equal(alpha == 0, np.concatenate([gap, gap], axis=1))


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
