"""Maps from latents to colors: the fit, and files that are valid, damaged or of another checkpoint."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, pad

from wuerst_demo.checkpoints.manifest import checkpoint_fingerprint
from wuerst_demo.pipeline import latent_to_rgb
from wuerst_demo.pipeline.latent_to_rgb import LatentRgbFit

RNG = np.random.default_rng(5)
TRUE_MAPS = {name: RNG.normal(0, 0.2, (inputs + 1, 3)) for name, inputs in latent_to_rgb.WINDOW_INPUTS.items()}


def random_samples(spread=1.0, prior=(24, 20), decoder=(20, 16)):
    """Random latents of both networks and their colors by TRUE_MAPS, applied as torch's convolutions."""
    samples = {}
    for name, sides in (("prior", prior), ("decoder", decoder)):
        latents = RNG.normal(0, spread, (latent_to_rgb.PREVIEW_CHANNELS[name], *sides))
        side = latent_to_rgb.WINDOW_SIDES[name]
        weights = torch.tensor(TRUE_MAPS[name][:-1]).T.reshape(3, -1, side, side)
        padded = pad(torch.tensor(latents)[None], [side // 2] * 4, mode="replicate")
        samples[name] = latents, conv2d(padded, weights, torch.tensor(TRUE_MAPS[name][-1]))[0].permute(1, 2, 0).numpy()
    return samples


@pytest.fixture(scope="module")
def fitted():
    fit = LatentRgbFit()
    for _ in range(4):
        assert fit.add(random_samples())
    return fit.solve()


@pytest.mark.parametrize("name", ["prior", "decoder"])
def test_the_fit_recovers_a_known_map(fitted, name):
    assert fitted.image_count == 4
    assert np.allclose(getattr(fitted, name), TRUE_MAPS[name], atol=3e-3)


def test_the_fit_does_not_depend_on_the_scale_of_the_latents():
    """The published prior's latents are a few hundredths, other checkpoints' may be tens."""
    fit = LatentRgbFit()
    for _ in range(8):
        fit.add(random_samples(spread=0.01))
    assert np.allclose(fit.solve().prior[:-1], TRUE_MAPS["prior"][:-1], atol=0.02)


def test_one_image_with_few_positions_gives_moderate_coefficients():
    fit = LatentRgbFit()
    fit.add(random_samples(prior=(2, 2)))
    assert np.abs(fit.solve().prior).max() < 10


def test_the_fit_is_the_ridge_regression_with_a_free_mean():
    """The penalty is a hundredth of the inputs' mean variance per coefficient, divided by the number of images."""
    samples = [random_samples() for _ in range(3)]
    fit = LatentRgbFit()
    for sample in samples:
        fit.add(sample)
    channels = latent_to_rgb.PREVIEW_CHANNELS["decoder"]
    x = np.concatenate([each["decoder"][0].reshape(channels, -1).T for each in samples])
    y = np.concatenate([each["decoder"][1].reshape(-1, 3) for each in samples])
    weight = 3 / len(x)  # each image counts once, whatever its size
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    penalty = np.eye(channels + 1) * 0.01 / 3 * weight * (x[:, :-1] ** 2).sum() / channels
    penalty[-1, -1] = 0
    expected = np.linalg.solve(weight * x.T @ x + penalty, weight * x.T @ y)
    assert np.allclose(fit.solve().decoder, expected, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_image_with_non_finite_values_is_left_out(fitted, bad):
    fit = LatentRgbFit()
    invalid = random_samples()
    invalid["decoder"][0][0, 0, 0] = bad
    fit.add(random_samples())
    before = fit.solve()
    assert not fit.add(invalid)
    assert fit.image_count == 1
    assert (fit.solve().prior == before.prior).all()


def test_a_saved_map_is_loaded_again(fitted, tmp_path):
    path = tmp_path / "some" / "folder" / "preview.json"
    latent_to_rgb.save_map(path, "abc", fitted)
    again = latent_to_rgb.load_map(path, "abc")
    assert again.image_count == 4
    assert np.allclose(again.prior, fitted.prior, atol=1e-6)
    assert np.allclose(again.decoder, fitted.decoder, atol=1e-6)
    assert [each.name for each in path.parent.iterdir()] == ["preview.json"]


def test_the_least_map_is_one_of_one_image_and_of_large_coefficients(fitted, tmp_path):
    edge = dataclasses.replace(fitted, image_count=1, decoder=np.full((5, 3), -999_999, np.float32))
    latent_to_rgb.save_map(tmp_path / "map", "abc", edge)
    again = latent_to_rgb.load_map(tmp_path / "map", "abc")
    assert again.image_count == 1
    assert (again.decoder == edge.decoder).all()


def test_the_map_of_another_checkpoint_is_not_loaded(fitted, tmp_path):
    latent_to_rgb.save_map(tmp_path / "map", "abc", fitted)
    assert latent_to_rgb.load_map(tmp_path / "map", "abd") is None


def damaged_texts(valid):
    yield ""
    yield valid[: len(valid) // 2]
    yield "[" * 100_000
    yield "[]"
    yield "null"
    yield '"text"'
    found = json.loads(valid)
    for name in ("of", "prior", "decoder", "pictures"):
        yield json.dumps({key: value for key, value in found.items() if key != name})
    for name, value in (
        ("prior", found["decoder"]),
        ("prior", "text"),
        ("prior", found["prior"][:17]),
        ("decoder", [[float("nan")] * 3] * 5),
        ("decoder", [[1e300] * 3] * 5),
        ("decoder", [[1, 2, 3], [1, 2]]),
        ("decoder", None),
        ("decoder", [[1e6] * 3] * 5),
        ("decoder", [[-1e6] * 3] * 5),
        ("pictures", 0),
        ("pictures", "many"),
        ("pictures", True),
    ):
        yield json.dumps({**found, name: value})


def test_a_damaged_file_is_ignored_and_logged(fitted, tmp_path, caplog):
    path = tmp_path / "map"
    latent_to_rgb.save_map(path, "abc", fitted)
    texts = list(damaged_texts(path.read_text()))
    assert len(texts) == 22
    for text in texts:
        path.write_text(text)
        caplog.clear()
        with caplog.at_level(logging.INFO):
            assert latent_to_rgb.load_map(path, "abc") is None, text[:80]
        assert "fitted again" in caplog.text
    path.write_bytes(b"\xff\xfe\x00")
    assert latent_to_rgb.load_map(path, "abc") is None


def test_a_missing_file_is_not_logged(tmp_path, caplog):
    assert latent_to_rgb.load_map(tmp_path / "nothing", "abc") is None
    assert latent_to_rgb.load_map(tmp_path, "abc") is None  # a folder
    assert "nothing" not in caplog.text


def test_a_failed_save_leaves_the_old_file_and_nothing_else(fitted, tmp_path):
    (tmp_path / "map").mkdir()
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system says
        latent_to_rgb.save_map(tmp_path / "map", "abc", fitted)
    assert [each.name for each in tmp_path.iterdir()] == ["map"]


def test_a_fingerprint_depends_on_the_weights_but_not_on_their_path(resolved, tmp_path):
    of = checkpoint_fingerprint(resolved)

    def moved(name, change=lambda data: data):
        part = getattr(resolved, name)
        files = []
        for weights in part.weights:
            path = tmp_path / f"{name}-{weights.path.name}"
            path.write_bytes(change(weights.path.read_bytes()))
            files.append(dataclasses.replace(weights, path=path))
        return dataclasses.replace(resolved, **{name: dataclasses.replace(part, weights=tuple(files))})

    for name in ("prior", "decoder", "vqgan"):
        assert checkpoint_fingerprint(moved(name)) == of
        assert checkpoint_fingerprint(moved(name, lambda data: data[:-8] + b"another!")) != of
        assert checkpoint_fingerprint(moved(name, lambda data: data + b"x")) != of


def test_the_cache_path_follows_the_platform():
    at = latent_to_rgb.cached_map_path(
        "0123456789abcdef" * 4, {"XDG_CACHE_HOME": "/cache", "LOCALAPPDATA": "/cache"}, Path("/home")
    )
    assert at.parent.parts[-2:] == ("wuerst_demo", "previews")
    assert at.name == "0123456789abcdef0123456789abcdef.json"
    assert Path("/home") in latent_to_rgb.cached_map_path("abc", {}, Path("/home")).parents
