"""What a picture looks like on its way: previews of rows of the 2023 checkpoint, and the map that its pictures fit."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from wuerst_demo.model import colours
from wuerst_demo.model.cascade import Cascade
from wuerst_demo.model.colours import Colours
from wuerst_demo.model.preview import LONGEST, SHORTEST, Palette
from wuerst_demo.request import Limits

GREY = Colours(
    prior=np.concatenate([np.zeros((16 * 9, 3)), [[0.5, 0.5, 0.5]]]).astype(np.float32),
    decoder=np.concatenate([np.eye(4, 3), [[0, 0, 0]]]).astype(np.float32),
    pictures=32,
)


def request(**values):
    return Limits().request({"prompt": "a red cat", "width": 128, "height": 128, "seed": 3, **values})


def opened(preview):
    return Image.open(io.BytesIO(preview))


@pytest.mark.parametrize(
    ("latents", "size", "shown"),
    [
        ((3, 3), (128, 128), (SHORTEST, SHORTEST)),
        ((24, 36), (1536, 1024), (SHORTEST, 64)),
        ((256, 128), (512, 1024), (128, LONGEST)),
        ((512, 512), (2048, 2048), (LONGEST, LONGEST)),
        ((24, 480), (2048, 128), (240, 15)),
    ],
)
def test_a_preview_is_small_and_has_the_pictures_proportions(latents, size, shown):
    (preview,) = Palette(given=GREY).paint("decoder", torch.zeros(1, 4, *latents), [size])
    assert opened(preview).size == shown
    assert opened(preview).format == "JPEG"
    assert len(preview) < 20_000


def test_colours_are_the_map_of_the_latents_and_stay_within_what_can_be_shown():
    clean = torch.zeros(2, 4, 128, 128)
    clean[0, 0] = 0.8  # red
    clean[1, 1] = 7.0  # more than green can be
    clean[1, 2] = float("nan")
    previews = Palette(given=GREY).paint("decoder", clean, [(512, 512)] * 2)
    first, second = (np.asarray(opened(preview)).mean((0, 1)) for preview in previews)
    assert np.allclose(first, (204, 0, 0), atol=4)
    assert np.allclose(second, (0, 255, 0), atol=4)


def test_a_checkpoint_without_a_map_has_previews_from_its_first_picture_on(parts, tmp_path):
    keep = tmp_path / "kept.json"
    palette = Palette("abc", keep)
    cascade = Cascade(parts, Limits(), palette=palette)
    rows = cascade.step(cascade.begin(request(images=2, prior_steps=1, decoder_steps=1)))
    assert cascade.previews(rows) == [None, None]
    pictures = cascade.finish(cascade.step(rows))
    assert colours.read(keep, "abc").pictures == 2
    for preview, picture in zip(cascade.previews(cascade.step(rows)), pictures, strict=True):
        small = np.asarray(picture.resize(opened(preview).size, Image.Resampling.BOX), float)
        seen = np.asarray(opened(preview), float)
        # It is nearer to its picture than the one colour that is nearest of all.
        assert ((seen - small) ** 2).mean() < ((small - small.mean((0, 1))) ** 2).mean()
    again = Palette("abc", keep)
    assert again.ready
    assert again.learning


def test_a_map_that_another_process_has_kept_meanwhile_is_taken_with_the_next_request(parts, tmp_path):
    keep = tmp_path / "kept.json"
    other = Cascade(parts, Limits(), palette=Palette("abc", keep))
    first = Cascade(parts, Limits(), palette=Palette("abc", keep))
    first.finish(first.step(first.step(first.begin(request(prior_steps=1, decoder_steps=1)))))
    assert other.previews(other.step(other.begin(request(prior_steps=1, decoder_steps=1)))) != [None]


def test_a_map_is_learned_until_there_is_enough_and_a_kept_one_until_there_is_more(tmp_path):
    keep = tmp_path / "kept.json"
    chance = torch.Generator().manual_seed(1)

    def learn(palette, pictures):
        for _ in range(pictures):
            picture = torch.randint(0, 256, (64, 64, 3), generator=chance, dtype=torch.uint8).numpy()
            palette.learn(torch.randn(16, 2, 2, generator=chance), torch.randn(4, 16, 16, generator=chance), picture)

    first = Palette("abc", keep, enough=8)
    learn(first, 5)
    assert first.learning
    second = Palette("abc", keep, enough=8)
    learn(second, 3)
    assert colours.read(keep, "abc").pictures == 4  # the three know less than what is kept
    learn(second, 5)
    assert not second.learning
    assert colours.read(keep, "abc").pictures == 8
    assert not Palette("abc", keep, enough=8).learning


def test_a_cache_that_cannot_be_written_costs_no_preview(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    palette = Palette("abc", blocked / "kept.json")
    for _ in range(2):
        palette.learn(torch.randn(16, 2, 2), torch.randn(4, 16, 16), np.zeros((64, 64, 3), np.uint8))
    assert palette.ready
    assert caplog.text.count("cannot be kept") == 1


def test_a_given_map_is_not_learned_over():
    palette = Palette(given=GREY)
    assert palette.ready
    assert not palette.learning
