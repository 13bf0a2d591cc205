"""Mapping of a LoRA's tensors to the prior's weights, and rejection of LoRAs for other networks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.fakes.hub import FolderHub
from tests.fakes.loras import RANK, diffusers_2023_keys, peft_keys, write_lora
from wuerst_demo.checkpoints.lora_mapping import ModulePattern, prior_weight_shapes
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.errors import CheckpointError


def test_the_weight_shapes_are_those_of_the_network(components):
    weights = components.prior.state_dict()
    assert prior_weight_shapes(components.prior.config) == {
        n: tuple(t.shape) for n, t in weights.items() if n.endswith(".weight")
    }


def error_message(model, *loras, hub=None) -> str:
    with pytest.raises(CheckpointError) as caught:
        resolve_checkpoint(model, loras=loras, hub=hub or FolderHub({}, Path("nowhere")))
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


OTHER_KEYS = {
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": "a LoRA for Stable Diffusion (",
    "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": "a LoRA for Stable Diffusion's text encoder (",
    "lora_prior_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": "also changes the prior's text encoder (",
    "bundle_emb.felt.clip_g": "also contains embeddings of its own (",
    "lora_prior_unet_blocks_2_attention_to_q.dora_scale": "an adapter of another kind (",
    "lora_prior_unet_blocks_99_attention_to_q.lora_up.weight": "which this prior does not have",
    "lora_prior_unet_down_blocks_0_1_channelwise_0.lora_up.weight": "which this prior does not have",
    "unet.down_blocks.0.attentions.0.processor.to_q_lora.up.weight": "a LoRA for Stable Diffusion (",
    "base_model.model.text_model.encoder.layers.0.q_proj.lora_A.weight": "a LoRA for a text encoder (",
    "transformer.blocks.0.attn.to_q.lora_A.weight": "a LoRA for a diffusion transformer (",
    "prior.blocks.2.attention.to_q.lokr_w1": "an adapter of another kind (",
    "prior.blocks.2.attention.to_q.lora_magnitude_vector": "an adapter of another kind (",
    "prior.blocks.99.attention.to_q.lora_A.weight": "which this prior does not have",
    "prior.blocks.2.attention.to_x.lora_A.weight": "which this prior does not have",
    "embedding.weight": "is not a LoRA (it has 'embedding.weight')",
}


@pytest.mark.parametrize("key", OTHER_KEYS)
def test_a_lora_for_another_network_is_rejected_with_the_reason(model, changes, tmp_path, key):
    path = write_lora(tmp_path / "style.safetensors", peft_keys(changes) | {key: torch.ones(2, 2)})
    message = error_message(model, path)
    assert OTHER_KEYS[key] in message
    assert repr(key) in message


def test_a_lora_for_a_wider_prior_is_rejected_with_both_widths(model, changes, tmp_path):
    layer, (down, _) = next(iter(changes.items()))
    width = down.shape[1]
    wider = {layer: (torch.ones(RANK, 1536), torch.ones(1536, RANK))}
    message = error_message(model, write_lora(tmp_path / "style.safetensors", diffusers_2023_keys(wider)))
    assert f"is 1536 x 1536 there and {width} x {width} here" in message
    assert "--prior" in message


def test_an_incomplete_or_unfitting_pair_is_rejected(model, changes, tmp_path):
    tensors = peft_keys(changes)
    first, second = list(tensors)[:2]
    lonely = write_lora(tmp_path / "a.safetensors", {name: t for name, t in tensors.items() if name != second})
    assert f"has {first!r} without its counterpart" in error_message(model, lonely)
    uneven = write_lora(tmp_path / "b.safetensors", tensors | {second: torch.ones(tensors[second].shape[0], RANK + 1)})
    assert "do not fit" in error_message(model, uneven)
    twice = write_lora(tmp_path / "c.safetensors", tensors | diffusers_2023_keys(changes))
    assert "twice" in error_message(model, twice)
    assert "is empty" in error_message(model, write_lora(tmp_path / "d.safetensors", {}))


def test_a_mistake_is_reported_in_one_line_without_importing_torch(model, tmp_path):
    program = (
        "import sys; from wuerst_demo.cli.main import main; code = main(sys.argv[1:], {});"
        "print('torch' in sys.modules); sys.exit(code)"
    )
    path = write_lora(tmp_path / "style.safetensors", {"lora_unet_x.lora_down.weight": torch.ones(1, 1)})
    words = ["generate", "a cat", "--model", model, "--output", str(tmp_path / "out"), "--lora", path]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert done.stderr.count("\n") == 1
    assert "Stable Diffusion" in done.stderr


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        (
            "attention.to_q",
            ["attention.to_q", "blocks.2.attention.to_q"],
            ["attention.to_k", "x_attention.to_q"],
        ),
        (r"^blocks\.2\.attention\.to_q$", ["blocks.2.attention.to_q"], ["prior.blocks.2.attention.to_q"]),
        ("blocks.*to_q", ["blocks.2.attention.to_q", "a.blocks.to_q"], ["blocks.2.attention.to_k", "blocksto_"]),
        (".*", ["", "anything"], []),
        ("to.*to", ["toto", "to_to"], ["to"]),
        (r"^q$", ["q"], ["to.q"]),
        ("a.*b.*c", ["abc", "a1b2c", "x.a.b.c"], ["ac", "a_c_b", "xabc"]),
        ("a.*b.*b.*c", ["abbc"], ["abc", "a.b.c"]),
    ],
)
def test_a_pattern_of_peft_is_the_end_of_a_name_with_wildcards(pattern, fits, misses):
    parsed = ModulePattern.parse(pattern)
    for name in (*fits, *misses):
        assert parsed.matches(name) == (name in fits) == bool(re.fullmatch(rf"(.*\.)?({pattern})", name)), name


def test_a_longer_pattern_than_allowed_is_none():
    assert ModulePattern.parse("a" * 200).matches("a" * 200)
    with pytest.raises(ValueError, match="not a module's name"):
        ModulePattern.parse("a" * 201)


@pytest.mark.parametrize(
    ("config", "strength"),
    [
        ({}, 0.5),
        ({"lora_alpha": 6}, 0.5 * 6 / 4),
        ({"lora_alpha": 6, "use_rslora": True}, 0.5 * 6 / 2),
        ({"lora_alpha": 6, "alpha_pattern": {"to_k": 1, "to_q": 12, ".*": 20}}, 0.5 * 12 / 4),
        ({"lora_alpha": 6, "alpha_pattern": {"to_k": 1}}, 0.5 * 6 / 4),
    ],
)
def test_the_strength_is_the_scale_times_alpha_by_rank(model, components, tmp_path, config, strength):
    width = components.prior.config.c
    down, up = (f"prior.blocks.2.attention.to_q.lora_{side}.weight" for side in "AB")
    tensors = {down: torch.ones(4, width), up: torch.ones(width, 4)}
    path = write_lora(tmp_path / "style.safetensors", tensors, {"lora_adapter_metadata": json.dumps(config)})
    (lora,) = resolve_checkpoint(model, loras=[f"{path}:0.5"]).loras
    (pair,) = lora.pairs
    assert (pair.weight, pair.down, pair.up, pair.alpha) == ("blocks.2.attention.to_q.weight", down, up, "")
    assert pair.strength == strength
    assert str(lora) == "style.safetensors:0.5"


def test_an_alpha_in_the_file_is_divided_by_the_rank_and_is_one_number(model, components, tmp_path):
    layer, width = "prior.blocks.2.attention.to_q", components.prior.config.c
    tensors = {f"{layer}.lora_A.weight": torch.ones(4, width), f"{layer}.lora_B.weight": torch.ones(width, 4)}
    for shape in ((), (1,), (1, 1)):
        path = write_lora(tmp_path / "style.safetensors", tensors | {f"{layer}.alpha": torch.ones(shape)})
        ((pair,),) = (each.pairs for each in resolve_checkpoint(model, loras=[f"{path}:2"]).loras)
        assert (pair.strength, pair.alpha) == (2 / 4, f"{layer}.alpha")
    path = write_lora(tmp_path / "style.safetensors", tensors | {f"{layer}.alpha": torch.ones(2)})
    assert f"{layer + '.alpha'!r} is not one number" in error_message(model, path)
    lonely = write_lora(tmp_path / "style.safetensors", {f"{layer}.alpha": torch.ones(1)})
    assert f"has {layer + '.alpha'!r} without its counterpart" in error_message(model, lonely)


@pytest.mark.parametrize("shapes", [((0, 64), (64, 0)), ((), (64, 4)), ((4, 64), ()), ((4, 64), (64,))])
def test_matrices_without_rank_or_sides_are_damaged(model, tmp_path, shapes):
    layer = "prior.blocks.2.attention.to_q.lora"
    tensors = {f"{layer}.{side}.weight": torch.ones(shape) for side, shape in zip(("down", "up"), shapes, strict=True)}
    assert "do not fit" in error_message(model, write_lora(tmp_path / "style.safetensors", tensors))


def test_a_long_key_is_quoted_in_part(model, tmp_path):
    key = "embedding." + "x" * 200
    message = error_message(model, write_lora(tmp_path / "style.safetensors", {key: torch.ones(1)}))
    assert f"(it has {key[:80]!r})" in message
