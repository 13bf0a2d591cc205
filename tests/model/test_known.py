"""What a checkpoint can be asked: the table, a folder's own demo.json, and what configs allow."""

from __future__ import annotations

import dataclasses
import math

import pytest

from wuerst_demo.errors import CheckpointError, InvalidRequest
from wuerst_demo.model import configs
from wuerst_demo.model.files import Located
from wuerst_demo.model.known import KNOWN, examples_of, known_as, knows_of, limits_of, read_demo, sizes, title_of
from wuerst_demo.model.source import Source
from wuerst_demo.request import DESCRIPTIONS, Number


def changed(located: Located, **changes) -> Located:
    """The same checkpoint with another demo.json, other numbers, or other options of decoder and VQGAN."""
    for name in ("decoder", "vqgan"):
        part = getattr(located, name)
        config = {**part.config, **changes.pop(f"{name}_config", {})}
        changes[name] = dataclasses.replace(part, config=config, source=changes.get("source", part.source))
    changes.pop("source", None)
    return dataclasses.replace(located, **changes)


@pytest.fixture
def published(located) -> Located:
    """As `warp-ai/wuerstchen` from the Hub would be."""
    source = Source("warp-ai/wuerstchen", repository="warp-ai/wuerstchen")
    return changed(located, source=source, decoder_config=configs.DECODER.defaults, vqgan_config=configs.VQGAN.defaults)


def test_every_entry_of_the_table_can_be_asked_for_its_own_examples():
    for known in KNOWN.values():
        requests = [known.limits.request({"prompt": example}) for example in known.examples]
        assert [request.prompt for request in requests] == list(known.examples)


def test_the_published_checkpoint_draws_1024_to_2048_and_has_the_authors_defaults(published):
    limits = limits_of(published)
    for side in ("width", "height"):
        number = limits.number(side)
        assert (number.least, number.most, number.step, number.default) == (1024, 2048, 128, 1024)
    request = limits.request({})
    assert (request.prior_steps, request.prior_guidance, request.prior_schedule) == (29, 4.0, "two-part")
    assert (request.decoder_steps, request.decoder_guidance) == (12, 0.0)
    assert examples_of(published)
    with pytest.raises(InvalidRequest):
        limits.request({"width": 896})


def test_a_copy_of_the_published_checkpoint_in_a_folder_is_known_by_its_decoder(published, tmp_path):
    copy = changed(published, source=Source("mine", tmp_path))
    assert known_as(copy) is KNOWN["warp-ai/wuerstchen"]
    assert limits_of(copy) == limits_of(published)


def test_an_unknown_checkpoint_has_the_sizes_its_networks_can_draw(located):
    assert known_as(located) is None
    assert sizes(located) == (128, 2048, 128)
    assert limits_of(located).number("width").default == DESCRIPTIONS["width"].default
    assert examples_of(located) == ()
    assert title_of(located) == located.name


@pytest.mark.parametrize(
    ("decoder", "expected"),
    [
        ({"patch_size": 4}, (128, 2048, 128)),
        # 128 pixels are 32 latents: 64 of them, or 5 halvings of 2-pixel patches, take twice as many.
        ({"patch_size": 16}, (256, 2048, 256)),
        ({"c_hidden": [16] * 6}, (256, 2048, 256)),
    ],
)
def test_more_levels_or_larger_patches_take_larger_sizes_in_larger_steps(decoder, expected, located):
    found = changed(located, decoder_config=decoder)
    assert sizes(found) == expected
    least, most, step = expected
    grid = found.decoder.config["patch_size"] * 2 ** (len(found.decoder.config["c_hidden"]) - 1)
    for size in range(least, most + 1, step):
        assert int(math.ceil(size / found.resolution_multiple) * found.latent_dim_scale) % grid == 0


def test_every_size_within_the_limits_is_one_the_networks_can_draw(located):
    limits = limits_of(located)
    least, most, step = sizes(located)
    assert [limits.number("width").least, limits.number("width").most] == [least, most]
    for size in range(least, most + 1, step):
        assert limits.request({"width": size, "height": size}).width == size
        latents = int(math.ceil(size / located.resolution_multiple) * located.latent_dim_scale)
        assert latents * 4 == size


@pytest.mark.parametrize("changes", [{"vqgan_config": {"levels": 5}}, {"latent_dim_scale": 3.0}])
def test_networks_that_fit_together_at_no_size_are_refused(changes, located):
    with pytest.raises(CheckpointError, match="fit together at no size"):
        limits_of(changed(located, **changes))


DEMO = {
    "title": "Cocktail",
    "limits": {
        "width": {"least": 256, "most": 384, "default": 256},
        "prior_steps": {"default": 20},
        "decoder_guidance": {"most": 4, "default": 1.5},
        "weighting": {"default": False},
        "prior_schedule": {"default": "linear"},
    },
    "examples": ["a red circle", ""],
    "knows": ["circle", "ring", "red"],
    "things": 1,
}


def test_a_folder_speaks_for_itself_in_demo_json(located):
    found = changed(located, demo=DEMO)
    request = limits_of(found).request({})
    assert (title_of(found), examples_of(found)) == ("Cocktail", ("a red circle", ""))
    assert knows_of(found) == (("circle", "ring", "red"), 1)
    assert (request.width, request.prior_steps, request.decoder_guidance) == (256, 20, 1.5)
    assert (request.weighting, request.prior_schedule) == (False, "linear")
    with pytest.raises(InvalidRequest, match="256 to 384"):
        limits_of(found).request({"width": 512})


@pytest.mark.parametrize(
    "demo",
    [
        {"name": "x"},
        {"title": 3},
        {"title": "two\nlines"},
        {"title": "x" * 200},
        {"limits": []},
        {"limits": {"seed": {"default": 1}}},
        {"limits": {"prompt": {"default": "x"}}},
        {"limits": {"depth": {"default": 1}}},
        {"limits": {"width": 256}},
        {"limits": {"width": {"least": 200}}},
        {"limits": {"width": {"least": 64}}},
        {"limits": {"width": {"most": 4096}}},
        {"limits": {"width": {"least": 512, "most": 384}}},
        {"limits": {"width": {"most": 384}}},
        {"limits": {"width": {"default": "256"}}},
        {"limits": {"width": {"default": 256.0}}},
        {"limits": {"width": {"default": None}}},
        {"limits": {"width": {"help": "<b>"}}},
        {"limits": {"width": {"least": 128, "default": 128, "most": 128, "step": 0}}},
        {"limits": {"prior_guidance": {"default": float("nan")}}},
        {"limits": {"prior_guidance": {"default": True}}},
        {"limits": {"weighting": {"default": 1}}},
        {"limits": {"weighting": {"least": False}}},
        {"limits": {"prior_schedule": {"default": "cosine"}}},
        {"examples": "a cat"},
        {"examples": [3]},
        {"examples": [None]},
        {"examples": ["x" * 5000]},
        {"examples": ["\x07"]},
        {"examples": ["x"] * 51},
        {"knows": "cat"},
        {"knows": ["Cat"]},
        {"knows": [""]},
        {"knows": [" cat"]},
        {"knows": [3]},
        {"knows": ["cat"], "things": 2},
        {"knows": ["cat"], "things": -1},
        {"knows": ["cat"], "things": True},
    ],
)
def test_anything_else_in_demo_json_is_refused_with_the_remedy(demo, located):
    with pytest.raises(CheckpointError, match=r"demo\.json cannot be used: .*\. Mend it or remove it\.") as raised:
        read_demo(demo)
    assert "\n" not in str(raised.value)
    with pytest.raises(CheckpointError):
        limits_of(changed(located, demo=demo))


def test_a_demo_json_cannot_promise_sizes_that_the_networks_cannot_draw(located):
    demo = {"limits": {"width": {"least": 384, "default": 384, "most": 384}}}
    with pytest.raises(CheckpointError, match="the width 384 cannot be drawn"):
        limits_of(changed(located, demo=demo, decoder_config={"patch_size": 16}))


def test_bounds_only_get_narrower(located):
    for name, description in limits_of(changed(located, demo=DEMO)).descriptions.items():
        outer = DESCRIPTIONS[name]
        if isinstance(description, Number):
            assert outer.least <= description.least <= description.most <= outer.most
