"""Limits, sizes and examples of a checkpoint, from the registry, demo.json and the networks' configs."""

from __future__ import annotations

import math

import pytest

from wuerst_demo.checkpoints import network_config
from wuerst_demo.checkpoints.capabilities import (
    CheckpointInfo,
    check_demo_json,
    describe_checkpoint,
    find_known,
    supported_sizes,
)
from wuerst_demo.checkpoints.network_config import LatentScaling
from wuerst_demo.checkpoints.registry import KNOWN_CHECKPOINTS
from wuerst_demo.errors import CheckpointError, InvalidRequest
from wuerst_demo.fields import Number
from wuerst_demo.request import DESCRIPTIONS

NAME = "unknown"


@pytest.fixture
def describe(resolved):
    """`describe_checkpoint` of the 2023 checkpoint, with another demo.json, name, scaling or configs."""

    def describe(demo=None, decoder=None, vqgan=None, scaling=None, name=NAME) -> CheckpointInfo:
        return describe_checkpoint(
            name,
            name,
            {**resolved.decoder.config, **(decoder or {})},
            {**resolved.vqgan.config, **(vqgan or {})},
            scaling or resolved.scaling,
            demo or {},
        )

    return describe


PUBLISHED = {"decoder": network_config.DECODER.defaults, "vqgan": network_config.VQGAN.defaults}
"""Configs of `warp-ai/wuerstchen` on the Hub."""


def test_the_published_checkpoint_has_its_authors_sizes_and_defaults(describe):
    info = describe(name="warp-ai/wuerstchen", **PUBLISHED)
    for side in ("width", "height"):
        number = info.limits.number(side)
        assert (number.least, number.most, number.step, number.default) == (1024, 2048, 128, 1024)
    request = info.limits.request({})
    assert (request.prior_steps, request.prior_guidance, request.prior_schedule) == (29, 4.0, "two-part")
    assert (request.decoder_steps, request.decoder_guidance) == (12, 0.0)
    assert info.examples
    with pytest.raises(InvalidRequest):
        info.limits.request({"width": 896})


def test_a_folder_copy_of_the_published_checkpoint_is_recognised_by_its_decoder(describe):
    assert find_known("mine", network_config.DECODER.defaults) is KNOWN_CHECKPOINTS["warp-ai/wuerstchen"]
    assert describe(name="mine", **PUBLISHED) == describe(name="warp-ai/wuerstchen", **PUBLISHED)


def test_an_unknown_checkpoint_has_the_sizes_its_networks_support(resolved, describe):
    assert find_known(NAME, resolved.decoder.config) is None
    assert supported_sizes(NAME, resolved.decoder.config, resolved.vqgan.config, resolved.scaling) == (128, 2048, 128)
    info = describe()
    assert info.limits.number("width").default == DESCRIPTIONS["width"].default
    assert info.examples == ()
    assert info.title == NAME


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"patch_size": 4}, (128, 2048, 128)),
        # 128 pixels are 32 latents: patches of 64, or 5 halvings of 2-pixel patches, take twice as many.
        ({"patch_size": 16}, (256, 2048, 256)),
        ({"c_hidden": [16] * 6}, (256, 2048, 256)),
    ],
)
def test_more_levels_or_larger_patches_take_larger_sizes_in_larger_steps(changes, expected, resolved):
    decoder, scaling = {**resolved.decoder.config, **changes}, resolved.scaling
    assert supported_sizes(NAME, decoder, resolved.vqgan.config, scaling) == expected
    least, most, step = expected
    grid = decoder["patch_size"] * 2 ** (len(decoder["c_hidden"]) - 1)
    for size in range(least, most + 1, step):
        assert int(math.ceil(size / scaling.resolution_multiple) * scaling.latent_dim_scale) % grid == 0


def test_every_size_within_the_limits_is_supported_by_the_networks(resolved, describe):
    limits, scaling = describe().limits, resolved.scaling
    least, most, step = supported_sizes(NAME, resolved.decoder.config, resolved.vqgan.config, scaling)
    assert [limits.number("width").least, limits.number("width").most] == [least, most]
    for size in range(least, most + 1, step):
        assert limits.request({"width": size, "height": size}).width == size
        assert int(math.ceil(size / scaling.resolution_multiple) * scaling.latent_dim_scale) * 4 == size


@pytest.mark.parametrize("changes", [{"vqgan": {"levels": 5}}, {"scaling": LatentScaling(latent_dim_scale=3.0)}])
def test_networks_that_fit_together_at_no_size_are_rejected(changes, describe):
    with pytest.raises(CheckpointError, match="fit together at no size"):
        describe(**changes)


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


def test_demo_json_sets_title_examples_vocabulary_and_limits(describe):
    info = describe(DEMO)
    request = info.limits.request({})
    assert (info.title, info.examples) == ("Cocktail", ("a red circle", ""))
    assert (info.vocabulary, info.object_count) == (("circle", "ring", "red"), 1)
    assert (request.width, request.prior_steps, request.decoder_guidance) == (256, 20, 1.5)
    assert (request.weighting, request.prior_schedule) == (False, "linear")
    with pytest.raises(InvalidRequest, match="256 to 384"):
        info.limits.request({"width": 512})


@pytest.mark.parametrize(
    "demo",
    [
        {"name": "x"},
        {"title": 3},
        {"title": "two\nlines"},
        {"title": "x" * 101},
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
        {"limits": {"sampler": {"default": "euler"}}},
        {"limits": {"guidance_to": {"default": 1.5}}},
        {"limits": {"guidance_from": {"default": 0.8}, "guidance_to": {"default": 0.3}}},
        {"examples": "a cat"},
        {"examples": [3]},
        {"examples": [None]},
        {"examples": ["x" * 5000]},
        {"examples": ["\x07"]},
        {"examples": ["x"] * 51},
        {"live": []},
        {"live": {"seed": 1}},
        {"live": {"images": 2}},
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
def test_anything_else_in_demo_json_is_rejected_with_the_remedy(demo, describe):
    with pytest.raises(CheckpointError, match=r"demo\.json cannot be used: .*\. Fix it or remove it\.") as raised:
        check_demo_json(demo)
    assert "\n" not in str(raised.value)
    with pytest.raises(CheckpointError):
        describe(demo)


def test_demo_json_cannot_allow_sizes_that_the_networks_do_not_support(describe):
    demo = {"limits": {"width": {"least": 384, "default": 384, "most": 384}}}
    with pytest.raises(CheckpointError, match="the width 384 is not supported"):
        describe(demo, decoder={"patch_size": 16})


def test_live_settings_come_from_demo_json_or_are_the_usual_within_the_limits(describe):
    assert describe({"live": {"prior_steps": 2, "decoder_guidance": 0}}).live == {
        "prior_steps": 2,
        "decoder_guidance": 0,
    }
    few = describe({"limits": {"prior_steps": {"most": 4, "default": 4}, "decoder_steps": {"least": 6, "default": 6}}})
    assert (few.live["prior_steps"], few.live["decoder_steps"]) == (4, 6)
    assert few.limits.request(few.live).prior_schedule == "linear"


@pytest.mark.parametrize("live", [{"prior_steps": 2}, {"prior_steps": "5"}, {"prior_schedule": "cosine"}])
def test_live_settings_beyond_the_limits_are_rejected(live, describe):
    with pytest.raises(CheckpointError, match="live settings are not within its limits"):
        describe({"limits": {"prior_steps": {"least": 3, "default": 3}}, "live": live})


def test_demo_json_only_narrows_limits(describe):
    for name, description in describe(DEMO).limits.descriptions.items():
        outer = DESCRIPTIONS[name]
        if isinstance(description, Number):
            assert outer.least <= description.least <= description.most <= outer.most


def test_the_largest_values_of_demo_json_are_accepted(describe):
    info = describe({"title": "x" * 100, "examples": ["x"] * 50, "knows": ["x" * 60], "things": 1})
    assert (info.title, info.examples, info.vocabulary) == ("x" * 100, ("x",) * 50, ("x" * 60,))
    assert info.object_count == 1
