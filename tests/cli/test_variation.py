"""`wuerst generate --vary` and `--morph`: what they take from their pictures, and mistakes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from wuerst_demo.events import Result
from wuerst_demo.images.files import save_image
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.redraw_mask import encode_mask
from wuerst_demo.request import Limits, MorphEnd
from wuerst_demo.variation import Variation, encode_image_embeddings

TEXT = encode_image_embeddings(np.ones((16, 6, 6), np.float32))
EARLIER = Limits().request({"prompt": "a cat", "seed": 7, "images": 1, "prior_steps": 5, "width": 512})


@pytest.fixture
def picture(tmp_path):
    """Path of a picture of EARLIER, with changes of the request and of its composition."""

    def save(embeddings=TEXT, checkpoint="one", **changes):
        request = dataclasses.replace(EARLIER, **changes)
        result = Result(0, Image.new("RGB", (8, 8)), request, image_embeddings=embeddings)
        return save_image(result, tmp_path / "earlier", checkpoint)

    return save


def test_a_variation_takes_prompt_and_settings_from_its_picture(run_cli, picture):
    code, _, _, (request,) = run_cli("generate", "--vary", str(picture()), "--seed", "9")
    assert code == 0
    assert request == dataclasses.replace(EARLIER, seed=9, variation=Variation(TEXT, 0.5, 7))


def test_options_replace_what_the_picture_says(run_cli, picture):
    path = str(picture(variation=Variation(TEXT, 0.2, 3)))
    options = ("--variation", "0.25", "--prior-steps", "8", "--images", "4")
    _, _, _, (request,) = run_cli("generate", "a dog", "--vary", path, *options)
    assert (request.prompt, request.prior_steps, request.images, request.width) == ("a dog", 8, 4, 512)
    assert request.variation == Variation(TEXT, 0.25, 3)  # the details are still those of seed 3


def test_level_zero_asks_for_new_details(run_cli, picture):
    _, _, _, (request,) = run_cli("generate", "--vary", str(picture()), "--variation", "0")
    assert request.variation == Variation(TEXT, 0.0, None)


def test_the_file_of_a_variation_restores_its_request(run_cli, picture):
    _, [path], _, [request] = run_cli("generate", "--vary", str(picture()), "--seed", "9")
    settings = read_image_settings(path if path.startswith("/") else picture().parents[1] / path)
    assert Limits().request(settings.values) == request
    assert settings.image_embeddings == "of seed 9"


def test_a_region_is_redrawn_by_its_cells(run_cli, picture):
    _, _, _, (request,) = run_cli("generate", "a dog", "--vary", str(picture()), "--redraw", "1-2,1 6,6")
    cells = np.zeros((6, 6), bool)
    cells[0, :2] = cells[5, 5] = True
    assert request.variation == Variation(TEXT, 1.0, 7, encode_mask(cells))
    assert request.prompt == "a dog"


def test_a_region_is_redrawn_by_a_mask_image(run_cli, picture, tmp_path):
    mask = Image.new("L", (60, 60))
    mask.paste(255, (0, 0, 20, 10))
    mask.save(tmp_path / "mask.png")
    options = ("--redraw", "mask.png", "--variation", "0.5")
    _, _, _, (request,) = run_cli("generate", "--vary", str(picture()), *options)
    cells = np.zeros((6, 6), bool)
    cells[0, :2] = True
    assert request.variation == Variation(TEXT, 0.5, 7, encode_mask(cells))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--redraw", "1,1"], "needs a picture"),
        (["--vary", "FILE", "--redraw", "7,1"], "no cell 7,1; the picture has 6 columns"),
        (["--vary", "FILE", "--redraw", "1-6,1-6"], "covers everything"),
        (["--vary", "FILE", "--redraw", "missing.png"], "mask image, or cells"),
        (["--vary", "FILE", "--redraw", "1,1", "--variation", "0"], "nothing is redrawn"),
        (["--variation", "0.5"], "needs a picture"),
        (["--vary", "missing.png"], "cannot be read"),
        (["--vary", "FILE", "--variation", "1.5"], "number from 0 to 1"),
        (["--vary", "FILE", "--variation", "nan"], "number from 0 to 1"),
        (["--vary", "FILE", "--variation", "much"], "number from 0 to 1"),
        (["--vary", "BARE"], "does not carry its composition"),
        (["--vary", "DAMAGED"], "composition to go on from is damaged"),
    ],
)
def test_a_mistake_is_one_line(run_cli, picture, options, reason):
    files = {"FILE": lambda: picture(), "BARE": lambda: picture(""), "DAMAGED": lambda: picture("nonsense")}
    words = [str(files[word]()) if word in files else word for word in options]
    code, out, err, requests = run_cli("generate", "a cat", *words)
    assert (code, out, len(err), requests) == (2, [], 1, [])
    assert reason in err[0]


def test_a_morph_leads_from_one_picture_to_the_other(run_cli, picture, tmp_path):
    one, other = (str(picture(seed=seed)) for seed in (7, 9))
    code, paths, _, [request] = run_cli("generate", "--morph", one, other, "--frames", "5")
    assert code == 0
    assert [request.image(k).seed for k in (0, 4)] == [7, 9]
    assert request.morph.first == MorphEnd(EARLIER, TEXT)
    assert sorted(path[-13:] for path in paths[:-1]) == [f"-morph-{k:02}.png" for k in range(1, 6)]
    frames = sorted(tmp_path / path for path in paths[:-1])
    assert [Limits().request(read_image_settings(path).values) for path in frames] == [*map(request.image, range(5))]


def test_the_animation_of_a_morph_carries_its_request(run_cli, picture, tmp_path):
    _, paths, _, [request] = run_cli("generate", "--morph", str(picture()), str(picture(seed=9)), "--frames", "4")
    settings = read_image_settings(tmp_path / paths[-1])
    assert Limits().request(settings.values) == request
    assert settings.program.startswith("wuerst_demo")
    with Image.open(tmp_path / paths[-1]) as animation:
        assert (animation.format, animation.info["loop"]) == ("WEBP", 0)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--frames", "5"], "needs two pictures"),
        (["--morph", "FILE"], "takes two pictures"),
        (["--morph", "FILE", "FILE", "FILE"], "takes two pictures"),
        (["--morph", "FILE", "missing.png"], "cannot be read"),
        (["--morph", "FILE", "BARE"], "does not carry its composition"),
        (["--morph", "FILE", "DAMAGED"], "damaged"),
        (["--morph", "FILE", "FOREIGN"], "different checkpoints, one and another"),
        (["--morph", "FILE", "WIDE"], "different sizes, 512 x 1024 and 1024 x 1024"),
        (["--morph", "FILE", "FILE", "--frames", "2"], "from 3 to 16"),
        (["--morph", "FILE", "FILE", "--frames", "17"], "from 3 to 16"),
        (["--morph", "FILE", "FILE", "--frames", "many"], "from 3 to 16"),
        (["--morph", "FILE", "FILE", "--seed", "3"], "leave --seed out"),
        (["--morph", "FILE", "FILE", "--vary", "FILE"], "leave --vary out"),
        (["--morph", "FILE", "FILE", "--from", "-"], "leave --from out"),
    ],
)
def test_a_mistake_in_a_morph_is_one_line(run_cli, picture, options, reason):
    files = {
        "FILE": {},
        "BARE": {"embeddings": ""},
        "DAMAGED": {"embeddings": "nonsense"},
        "FOREIGN": {"checkpoint": "another"},
        "WIDE": {"width": 1024},
    }
    words = [str(picture(**files[word])) if word in files else word for word in options]
    code, out, err, requests = run_cli("generate", *words)
    assert (code, out, len(err), requests) == (2, [], 1, [])
    assert reason in err[0]
