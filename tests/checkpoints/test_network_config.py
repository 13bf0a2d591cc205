"""Options of the networks against the classes that they are for."""

from __future__ import annotations

import inspect
import re

import pytest
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from transformers import CLIPTextConfig

from wuerst_demo.checkpoints.network_config import (
    DECODER,
    DECODER_TEXT_ENCODER,
    MAX_LAYERS,
    MAX_OPTION_VALUE,
    PRIOR,
    PRIOR_TEXT_ENCODER,
    VQGAN,
    check_compatible,
    declared_class,
    parse_config,
)
from wuerst_demo.errors import CheckpointError


@pytest.mark.parametrize(
    ("kind", "network"), [(PRIOR, WuerstchenPrior), (DECODER, WuerstchenDiffNeXt), (VQGAN, PaellaVQModel)]
)
def test_the_defaults_are_those_of_the_class(kind, network):
    parameters = list(inspect.signature(network.__init__).parameters.values())[1:]
    assert dict(kind.defaults) == {each.name: each.default for each in parameters}


def test_the_defaults_of_the_text_encoder_are_those_of_its_class():
    config = CLIPTextConfig()
    assert dict(PRIOR_TEXT_ENCODER.defaults) == {name: getattr(config, name) for name in PRIOR_TEXT_ENCODER.defaults}


def test_other_keys_than_the_options_of_the_class_are_dropped():
    config = {"_class_name": "WuerstchenPrior", "auto_map": {"AutoModel": "evil.Evil"}, "quantization_config": {}}
    assert parse_config(PRIOR, config, "config.json") == PRIOR.defaults


@pytest.mark.parametrize(
    "config",
    [{}, {"_class_name": "StableCascadeUNet"}, {"_class_name": 3}, {"architectures": ["CLIPTextModelWithProjection"]}],
)
@pytest.mark.parametrize("kind", [PRIOR, DECODER_TEXT_ENCODER])
def test_another_class_is_rejected_with_both_names(config, kind):
    found = re.escape(repr(declared_class(config)) if declared_class(config) else "no class")
    with pytest.raises(CheckpointError, match=f"names {found} where the .* has to be a {kind.class_name}"):
        parse_config(kind, config, "config.json")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (PRIOR, {"c": "1280"}),
        (PRIOR, {"c": 0}),
        (PRIOR, {"c": True}),
        (PRIOR, {"depth": 10**9}),
        (PRIOR, {"dropout": "none"}),
        (PRIOR, {"dropout": float("nan")}),
        (DECODER, {"c_hidden": []}),
        (DECODER, {"c_hidden": [320, 640]}),
        (DECODER, {"c_hidden": 320}),
        (DECODER, {"level_config": ["CT", "CTA", "CTA", 3]}),
        (DECODER, {"patch_size": -2}),
        (VQGAN, {"scale_factor": None}),
    ],
)
def test_an_impossible_value_is_rejected(kind, changes):
    with pytest.raises(CheckpointError, match=r"impossible value|different lengths"):
        parse_config(kind, {"_class_name": kind.class_name, **changes}, "config.json")


@pytest.mark.parametrize(
    ("kind", "key", "largest"),
    [
        (PRIOR, "depth", MAX_LAYERS),
        (PRIOR, "c", MAX_OPTION_VALUE),
        (VQGAN, "levels", 16),
        (PRIOR_TEXT_ENCODER, "num_hidden_layers", MAX_LAYERS),
        (PRIOR_TEXT_ENCODER, "vocab_size", MAX_OPTION_VALUE),
    ],
)
def test_the_largest_and_smallest_values_are_accepted(kind, key, largest):
    for value in (1, largest):
        assert parse_config(kind, {"_class_name": kind.class_name, key: value}, "config.json")[key] == value
    for value in (0, largest + 1):
        with pytest.raises(CheckpointError, match=f"impossible value for '{key}'"):
            parse_config(kind, {"_class_name": kind.class_name, key: value}, "config.json")


def test_lists_have_at_most_16_levels():
    def lists(count):
        options = {key: [value[-1]] * count for key, value in DECODER.defaults.items() if isinstance(value, list)}
        return {"_class_name": DECODER.class_name, **options}

    assert len(parse_config(DECODER, lists(16), "config.json")["c_hidden"]) == 16
    with pytest.raises(CheckpointError, match="impossible value"):
        parse_config(DECODER, lists(17), "config.json")


PUBLISHED = {
    PRIOR.name: {**PRIOR.defaults, "c_cond": 1280},
    PRIOR_TEXT_ENCODER.name: {**PRIOR_TEXT_ENCODER.defaults, "hidden_size": 1280},
    DECODER.name: DECODER.defaults,
    DECODER_TEXT_ENCODER.name: {**DECODER_TEXT_ENCODER.defaults, "hidden_size": 1024},
    VQGAN.name: VQGAN.defaults,
}


def test_the_published_networks_fit_together():
    assert check_compatible(*PUBLISHED.values()) is None


@pytest.mark.parametrize(
    ("called", "changes", "option"),
    [
        (PRIOR.name, {"c_cond": 1024}, "--prior"),
        (PRIOR.name, {"c_in": 8}, "--prior"),
        (DECODER.name, {"clip_embd": 768}, "--model"),
        (DECODER.name, {"c_out": 8}, "--model"),
        (VQGAN.name, {"latent_channels": 16}, "--vqgan"),
        (PRIOR_TEXT_ENCODER.name, {"max_position_embeddings": 64}, "reads only 64 tokens"),
    ],
)
def test_networks_that_do_not_fit_together_are_rejected(called, changes, option):
    with pytest.raises(CheckpointError, match=option):
        check_compatible(*(PUBLISHED | {called: {**PUBLISHED[called], **changes}}).values())


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (PRIOR, "nhead", -1),
        (PRIOR, "nhead", 0),
        (PRIOR, "dropout", 10**400),
        (VQGAN, "scale_factor", 0),
        (VQGAN, "scale_factor", 1e-320),
        (VQGAN, "levels", 17),
        (DECODER, "nhead", [0, 10, 20, 20]),
        (DECODER, "level_config", ["C" * 17, "CTA", "CTA", "CTA"]),
        (DECODER, "level_config", ["X", "CTA", "CTA", "CTA"]),
        (DECODER, "level_config", [1, 2, 3, 4]),
    ],
)
def test_values_that_cannot_be_computed_with_are_rejected(kind, key, value):
    with pytest.raises(CheckpointError, match=f"impossible value for '{key}'"):
        parse_config(kind, {"_class_name": kind.class_name, key: value}, "config.json")


def test_a_level_with_attention_needs_heads():
    with pytest.raises(CheckpointError, match="a level with attention but no heads"):
        parse_config(DECODER, {"_class_name": DECODER.class_name, "nhead": [-1, -1, 20, 20]}, "config.json")
