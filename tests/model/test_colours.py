"""From latents to colours: the fit against maps that are known, and files that are whole, broken or another's."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, pad

from wuerst_demo.model import colours
from wuerst_demo.model.colours import Fit

CHANCE = np.random.default_rng(5)
TRUE = {name: CHANCE.normal(0, 0.2, (inputs + 1, 3)) for name, inputs in colours.INPUTS.items()}


def shown(spread=1.0, prior=(24, 20), decoder=(20, 16)):
    """Latents and the colours that the true maps, as torch's convolutions, make of them, for both networks."""
    seen = {}
    for name, sides in (("prior", prior), ("decoder", decoder)):
        latents = CHANCE.normal(0, spread, (colours.CHANNELS[name], *sides))
        side = colours.SIDES[name]
        weights = torch.tensor(TRUE[name][:-1]).T.reshape(3, -1, side, side)
        padded = pad(torch.tensor(latents)[None], [side // 2] * 4, mode="replicate")
        seen[name] = latents, conv2d(padded, weights, torch.tensor(TRUE[name][-1]))[0].permute(1, 2, 0).numpy()
    return seen


@pytest.fixture(scope="module")
def fitted():
    fit = Fit()
    for _ in range(4):
        assert fit.add(shown())
    return fit.colours()


@pytest.mark.parametrize("name", ["prior", "decoder"])
def test_a_map_that_there_is_is_found(fitted, name):
    assert fitted.pictures == 4
    assert np.allclose(getattr(fitted, name), TRUE[name], atol=3e-3)


def test_latents_of_any_size_of_number_are_fitted_alike():
    """The published prior's latents are a few hundredths large, other channels may be tens."""
    fit = Fit()
    for _ in range(8):
        fit.add(shown(spread=0.01))
    assert np.allclose(fit.colours().prior[:-1], TRUE["prior"][:-1], atol=0.02)


def test_one_picture_with_few_positions_gives_a_map_without_wild_guesses():
    fit = Fit()
    fit.add(shown(prior=(2, 2)))
    assert np.abs(fit.colours().prior).max() < 10


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_picture_that_is_not_made_of_numbers_is_left_out(fitted, bad):
    fit = Fit()
    spoilt = shown()
    spoilt["decoder"][0][0, 0, 0] = bad
    fit.add(shown())
    before = fit.colours()
    assert not fit.add(spoilt)
    assert fit.pictures == 1
    assert (fit.colours().prior == before.prior).all()


def test_a_file_brings_the_map_back(fitted, tmp_path):
    path = tmp_path / "some" / "folder" / "preview.json"
    colours.write(path, "abc", fitted)
    again = colours.read(path, "abc")
    assert again.pictures == 4
    assert np.allclose(again.prior, fitted.prior, atol=1e-6)
    assert np.allclose(again.decoder, fitted.decoder, atol=1e-6)
    assert [each.name for each in path.parent.iterdir()] == ["preview.json"]


def test_another_checkpoints_map_is_not_taken(fitted, tmp_path):
    colours.write(tmp_path / "map", "abc", fitted)
    assert colours.read(tmp_path / "map", "abd") is None


def damaged(whole):
    yield ""
    yield whole[: len(whole) // 2]
    yield "[" * 100_000
    yield "[]"
    yield "null"
    yield '"text"'
    found = json.loads(whole)
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
        ("pictures", 0),
        ("pictures", "many"),
        ("pictures", True),
    ):
        yield json.dumps({**found, name: value})


def test_a_broken_file_is_ignored_and_said_in_the_log(fitted, tmp_path, caplog):
    path = tmp_path / "map"
    colours.write(path, "abc", fitted)
    texts = list(damaged(path.read_text()))
    assert len(texts) == 20
    for text in texts:
        path.write_text(text)
        caplog.clear()
        with caplog.at_level(logging.INFO):
            assert colours.read(path, "abc") is None, text[:80]
        assert "fitted anew" in caplog.text
    path.write_bytes(b"\xff\xfe\x00")
    assert colours.read(path, "abc") is None


def test_no_file_is_no_news(tmp_path, caplog):
    assert colours.read(tmp_path / "nothing", "abc") is None
    assert colours.read(tmp_path, "abc") is None  # a folder
    assert "nothing" not in caplog.text


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(fitted, tmp_path):
    (tmp_path / "map").mkdir()
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system says
        colours.write(tmp_path / "map", "abc", fitted)
    assert [each.name for each in tmp_path.iterdir()] == ["map"]


def test_a_fingerprint_follows_the_weights_and_not_their_place(located, tmp_path):
    of = colours.fingerprint(located)

    def moved(name, change=lambda data: data):
        part = getattr(located, name)
        files = []
        for weights in part.weights:
            path = tmp_path / f"{name}-{weights.path.name}"
            path.write_bytes(change(weights.path.read_bytes()))
            files.append(dataclasses.replace(weights, path=path))
        return dataclasses.replace(located, **{name: dataclasses.replace(part, weights=tuple(files))})

    for name in ("prior", "decoder", "vqgan"):
        assert colours.fingerprint(moved(name)) == of
        assert colours.fingerprint(moved(name, lambda data: data[:-8] + b"another!")) != of
        assert colours.fingerprint(moved(name, lambda data: data + b"x")) != of


def test_the_users_cache_is_where_the_system_has_it():
    at = colours.cached("0123456789abcdef" * 4, {"XDG_CACHE_HOME": "/cache", "LOCALAPPDATA": "/cache"}, Path("/home"))
    assert at.parent.parts[-2:] == ("wuerst_demo", "previews")
    assert at.name == "0123456789abcdef0123456789abcdef.json"
    assert Path("/home") in colours.cached("abc", {}, Path("/home")).parents
