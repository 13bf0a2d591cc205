"""Options of the networks against the classes they are for."""

from __future__ import annotations

import inspect
import re

import pytest
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from transformers import CLIPTextConfig

from wuerst_demo.errors import CheckpointError
from wuerst_demo.model.configs import DECODER, DECODER_TEXT, PRIOR, PRIOR_TEXT, VQGAN, agree, named_class, read


@pytest.mark.parametrize(
    ("kind", "network"), [(PRIOR, WuerstchenPrior), (DECODER, WuerstchenDiffNeXt), (VQGAN, PaellaVQModel)]
)
def test_the_defaults_are_those_of_the_class(kind, network):
    parameters = list(inspect.signature(network.__init__).parameters.values())[1:]
    assert dict(kind.defaults) == {each.name: each.default for each in parameters}


def test_the_text_encoders_defaults_are_those_of_its_class():
    config = CLIPTextConfig()
    assert dict(PRIOR_TEXT.defaults) == {name: getattr(config, name) for name in PRIOR_TEXT.defaults}


def test_what_is_not_an_option_of_the_class_is_dropped():
    config = {"_class_name": "WuerstchenPrior", "auto_map": {"AutoModel": "evil.Evil"}, "quantization_config": {}}
    assert read(PRIOR, config, "config.json") == PRIOR.defaults


@pytest.mark.parametrize(
    "config",
    [{}, {"_class_name": "StableCascadeUNet"}, {"_class_name": 3}, {"architectures": ["CLIPTextModelWithProjection"]}],
)
@pytest.mark.parametrize("kind", [PRIOR, DECODER_TEXT])
def test_another_class_is_refused_with_both_names(config, kind):
    found = re.escape(repr(named_class(config)) if named_class(config) else "no class")
    with pytest.raises(CheckpointError, match=f"says {found} where the .* has to be a {kind.network}"):
        read(kind, config, "config.json")


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
def test_an_impossible_value_is_refused(kind, changes):
    with pytest.raises(CheckpointError, match=r"impossible value|different lengths"):
        read(kind, {"_class_name": kind.network, **changes}, "config.json")


PUBLISHED = {
    PRIOR.called: {**PRIOR.defaults, "c_cond": 1280},
    PRIOR_TEXT.called: {**PRIOR_TEXT.defaults, "hidden_size": 1280},
    DECODER.called: DECODER.defaults,
    DECODER_TEXT.called: {**DECODER_TEXT.defaults, "hidden_size": 1024},
    VQGAN.called: VQGAN.defaults,
}


def test_the_published_networks_agree():
    agree(*PUBLISHED.values())


@pytest.mark.parametrize(
    ("called", "changes", "option"),
    [
        (PRIOR.called, {"c_cond": 1024}, "--prior"),
        (PRIOR.called, {"c_in": 8}, "--prior"),
        (DECODER.called, {"clip_embd": 768}, "--model"),
        (DECODER.called, {"c_out": 8}, "--model"),
        (VQGAN.called, {"latent_channels": 16}, "--vqgan"),
        (PRIOR_TEXT.called, {"max_position_embeddings": 64}, "reads only 64 tokens"),
    ],
)
def test_networks_that_do_not_belong_together_are_refused(called, changes, option):
    with pytest.raises(CheckpointError, match=option):
        agree(*(PUBLISHED | {called: {**PUBLISHED[called], **changes}}).values())
