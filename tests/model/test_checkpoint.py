"""Loading against the libraries' own loaders, and refusing what they would have filled with random numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from wuerst_demo.errors import CheckpointError, PlacementError
from wuerst_demo.model.checkpoint import load_parts
from wuerst_demo.model.files import locate
from wuerst_demo.model.placement import decide

NETWORKS = {
    "prior": (WuerstchenPrior, "wuerstchen-prior/prior"),
    "prior_text_encoder": (CLIPTextModel, "wuerstchen-prior/text_encoder"),
    "decoder": (WuerstchenDiffNeXt, "wuerstchen/decoder"),
    "decoder_text_encoder": (CLIPTextModel, "wuerstchen/text_encoder"),
    "vqgan": (PaellaVQModel, "wuerstchen/vqgan"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_the_one_its_own_library_loads(name, parts, checkpoint_2023):
    network, folder = NETWORKS[name]
    expected = network.from_pretrained(checkpoint_2023 / folder).state_dict()
    found = getattr(parts, name).state_dict()
    assert type(getattr(parts, name)) is network
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(("name", "folder"), [("prior", "wuerstchen-prior"), ("decoder", "wuerstchen")])
def test_a_tokenizer_is_the_one_its_own_library_loads(name, folder, parts, checkpoint_2023):
    expected = CLIPTokenizer.from_pretrained(checkpoint_2023 / folder / "tokenizer")
    text = "an Anthropomorphic cat, (dressed)1.5 as a firefighter; ünïcode 🐈"
    found = getattr(parts, f"{name}_tokenizer")
    padding = {"padding": "max_length", "max_length": 77, "truncation": True}
    assert dict(found(text, **padding)) == dict(expected(text, **padding))


def test_a_text_encoder_computes_what_its_own_library_computes(parts, checkpoint_2023):
    expected = CLIPTextModel.from_pretrained(checkpoint_2023 / "wuerstchen-prior" / "text_encoder").eval()
    ids = torch.arange(77).view(1, 77)
    mask = (torch.arange(77) < 20).long().view(1, 77)
    with torch.no_grad():
        assert torch.equal(
            parts.prior_text_encoder(ids, attention_mask=mask).last_hidden_state,
            expected(ids, attention_mask=mask).last_hidden_state,
        )
