"""Previews of images in flight on the 2023 checkpoint, and the map that is fitted to its images."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from wuerst_demo.pipeline import latent_to_rgb
from wuerst_demo.pipeline.cascade import Cascade
from wuerst_demo.pipeline.latent_to_rgb import LatentRgbMap
from wuerst_demo.pipeline.preview import MAX_PREVIEW_SIDE_PX, MIN_PREVIEW_SIDE_PX, PreviewRenderer
from wuerst_demo.request import Limits

GREY = LatentRgbMap(
    prior=np.concatenate([np.zeros((16 * 9, 3)), [[0.5, 0.5, 0.5]]]).astype(np.float32),
    decoder=np.concatenate([np.eye(4, 3), [[0, 0, 0]]]).astype(np.float32),
    image_count=32,
)


def make_request(**values):
    return Limits().request({"prompt": "a red cat", "width": 128, "height": 128, "seed": 3, **values})


def open_jpeg(preview):
    return Image.open(io.BytesIO(preview))


@pytest.mark.parametrize(
    ("latents", "size", "shown"),
    [
        ((3, 3), (128, 128), (MIN_PREVIEW_SIDE_PX, MIN_PREVIEW_SIDE_PX)),
        ((24, 36), (1536, 1024), (MIN_PREVIEW_SIDE_PX, 64)),
        ((256, 128), (512, 1024), (128, MAX_PREVIEW_SIDE_PX)),
        ((512, 512), (2048, 2048), (MAX_PREVIEW_SIDE_PX, MAX_PREVIEW_SIDE_PX)),
        ((24, 480), (2048, 128), (240, 15)),
    ],
)
def test_a_preview_is_small_and_has_the_proportions_of_the_image(latents, size, shown):
    (preview,) = PreviewRenderer(given=GREY).render("decoder", torch.zeros(1, 4, *latents), [size])
    assert open_jpeg(preview).size == shown
    assert open_jpeg(preview).format == "JPEG"
    assert len(preview) < 20_000


def test_preview_colors_are_the_mapped_latents_clamped_to_0_to_1():
    clean = torch.zeros(2, 4, 128, 128)
    clean[0, 0] = 0.8  # red
    clean[1, 1] = 7.0  # more than green can be
    clean[1, 2] = float("nan")
    previews = PreviewRenderer(given=GREY).render("decoder", clean, [(512, 512)] * 2)
    first, second = (np.asarray(open_jpeg(preview)).mean((0, 1)) for preview in previews)
    assert np.allclose(first, (204, 0, 0), atol=4)
    assert np.allclose(second, (0, 255, 0), atol=4)


def test_a_checkpoint_without_a_map_has_previews_after_its_first_image(components, tmp_path):
    keep = tmp_path / "kept.json"
    renderer = PreviewRenderer("abc", keep)
    cascade = Cascade(components, Limits(), preview_renderer=renderer)
    states = cascade.step(cascade.begin(make_request(images=2, prior_steps=1, decoder_steps=1)))
    assert cascade.render_previews(states) == [None, None]
    images = cascade.finish(cascade.step(states))
    assert latent_to_rgb.load_map(keep, "abc").image_count == 2
    for preview, image in zip(cascade.render_previews(cascade.step(states)), images, strict=True):
        small = np.asarray(image.resize(open_jpeg(preview).size, Image.Resampling.BOX), float)
        seen = np.asarray(open_jpeg(preview), float)
        # Nearer to the image than any single color.
        assert ((seen - small) ** 2).mean() < ((small - small.mean((0, 1))) ** 2).mean()
    again = PreviewRenderer("abc", keep)
    assert again.ready
    assert again.learning


def test_a_map_cached_by_another_process_is_loaded_with_the_next_request(components, tmp_path):
    keep = tmp_path / "kept.json"
    other = Cascade(components, Limits(), preview_renderer=PreviewRenderer("abc", keep))
    first = Cascade(components, Limits(), preview_renderer=PreviewRenderer("abc", keep))
    first.finish(first.step(first.step(first.begin(make_request(prior_steps=1, decoder_steps=1)))))
    assert other.render_previews(other.step(other.begin(make_request(prior_steps=1, decoder_steps=1)))) != [None]


def test_a_cached_map_is_replaced_only_by_one_of_more_images(tmp_path):
    keep = tmp_path / "kept.json"
    generator = torch.Generator().manual_seed(1)

    def learn(renderer, images):
        for _ in range(images):
            image = torch.randint(0, 256, (64, 64, 3), generator=generator, dtype=torch.uint8).numpy()
            renderer.learn(
                torch.randn(16, 2, 2, generator=generator), torch.randn(4, 16, 16, generator=generator), image
            )

    first = PreviewRenderer("abc", keep, max_images=8)
    learn(first, 5)
    assert first.learning
    second = PreviewRenderer("abc", keep, max_images=8)
    learn(second, 3)
    assert latent_to_rgb.load_map(keep, "abc").image_count == 4  # three images are fewer than the cached four
    learn(second, 5)
    assert not second.learning
    assert latent_to_rgb.load_map(keep, "abc").image_count == 8
    assert not PreviewRenderer("abc", keep, max_images=8).learning


def test_previews_work_with_a_cache_that_cannot_be_written(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("a file")
    renderer = PreviewRenderer("abc", blocked / "kept.json")
    for _ in range(2):
        renderer.learn(torch.randn(16, 2, 2), torch.randn(4, 16, 16), np.zeros((64, 64, 3), np.uint8))
    assert renderer.ready
    assert caplog.text.count("cannot be cached") == 1


def test_a_given_map_is_never_fitted_again():
    renderer = PreviewRenderer(given=GREY)
    assert renderer.ready
    assert not renderer.learning
