"""LoRAs merged into the prior, against matrices multiplied here and against diffusers, which keeps them beside it."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch

from tests.fakes.cascade import painted
from tests.fakes.loras import (
    RANK,
    diffusers_2023_keys,
    diffusers_keys,
    onetrainer_keys,
    peft_keys,
    random_changes,
    write_lora,
)
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.cli import info
from wuerst_demo.devices.placement import decide_placement
from wuerst_demo.errors import CheckpointError
from wuerst_demo.events import Result
from wuerst_demo.images.files import save_image
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.networks.loader import load_components
from wuerst_demo.placement_options import PlacementOptions
from wuerst_demo.request import Limits
from wuerst_demo.settings import Settings


@pytest.fixture(scope="module")
def model(checkpoint_2023) -> str:
    return str(checkpoint_2023 / "wuerstchen")


@pytest.fixture(scope="module")
def changes(components):
    return random_changes(components.prior.state_dict())


@pytest.fixture(scope="module")
def base(components):
    """The prior's weights without a LoRA."""
    return components.prior.state_dict()


def merged(base, *loras):
    """The weights by hand: W + scale * up @ down."""
    weights = {name: tensor.clone() for name, tensor in base.items()}
    for changes, scale in loras:
        for layer, (down, up) in changes.items():
            weights[f"{layer}.weight"] += scale * up @ down
    return weights


def prior_of(model, *loras):
    return load_components(resolve_checkpoint(model, loras=loras), decide_placement(PlacementOptions("cpu"))).prior


def assert_holds(prior, weights):
    found = prior.state_dict()
    assert found.keys() == weights.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-5, atol=1e-6)


def predicted(prior):
    generator = torch.Generator().manual_seed(1)
    c_cond, latents = prior.config["c_cond"], torch.randn(2, 16, 6, 9, generator=generator)
    with torch.no_grad():
        return prior(latents, r=torch.tensor([0.3, 0.9]), c=torch.randn(2, 77, c_cond, generator=generator))


STYLES = {
    "2023": diffusers_2023_keys,
    "later": diffusers_keys,
    "linear layer": lambda changes: diffusers_keys(changes, "lora_linear_layer"),
    "peft": peft_keys,
    "peft without prefix": lambda changes: peft_keys(changes, ""),
    "peft of its own": lambda changes: peft_keys(changes, "base_model.model."),
    "peft with a name": lambda changes: peft_keys(changes, adapter=".default"),
    "OneTrainer": onetrainer_keys,
    "OneTrainer, early": lambda changes: onetrainer_keys(changes, "lora_prior_prior_"),
    "OneTrainer with dots": lambda changes: onetrainer_keys(changes, "lora_prior_unet.", "."),
}


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_every_style_of_keys_is_added_to_the_weights(model, base, changes, tmp_path, style):
    path = write_lora(tmp_path / "style.safetensors", style(changes))
    assert_holds(prior_of(model, f"{path}:0.7"), merged(base, (changes, 0.7)))


@pytest.mark.parametrize("style", [diffusers_2023_keys, peft_keys])
def test_the_merged_prior_predicts_what_diffusers_predicts(model, components, changes, tmp_path, style):
    path = Path(write_lora(tmp_path / "style.safetensors", style(changes)))
    ours = prior_of(model, str(path))
    theirs = copy.deepcopy(components.prior)
    theirs.load_lora_adapter(str(path.parent), prefix="prior", weight_name=path.name, use_safetensors=True)
    theirs.eval()
    expected = predicted(theirs)
    torch.testing.assert_close(predicted(ours), expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(predicted(components.prior), expected, atol=1e-2), "the LoRA makes no difference"


@pytest.mark.parametrize("own", [False, True], ids=["save_lora_adapter", "save_pretrained"])
def test_files_of_diffusers_and_peft_have_their_strength(model, components, tmp_path, own):
    from peft import LoraConfig, get_peft_model

    theirs = copy.deepcopy(components.prior)
    config = LoraConfig(r=RANK, lora_alpha=5, target_modules=["to_q", "to_out.0"], init_lora_weights=False)
    torch.manual_seed(11)
    if own:
        theirs = get_peft_model(theirs, config).eval()
        theirs.save_pretrained(tmp_path)
        name = "adapter_model.safetensors"
    else:
        theirs.add_adapter(config, adapter_name="style")
        theirs.save_lora_adapter(tmp_path, adapter_name="style")
        name = "pytorch_lora_weights.safetensors"
    expected = predicted(theirs.eval())
    assert not torch.allclose(predicted(components.prior), expected, atol=1e-2), "the LoRA makes no difference"
    torch.testing.assert_close(predicted(prior_of(model, str(tmp_path / name))), expected, rtol=1e-4, atol=1e-4)


def test_several_loras_add_up_and_scales_may_be_negative_or_zero(model, base, changes, tmp_path):
    half = {layer: pair for k, (layer, pair) in enumerate(changes.items()) if k % 2}
    one = write_lora(tmp_path / "one.safetensors", diffusers_2023_keys(changes))
    two = write_lora(tmp_path / "two.safetensors", peft_keys(half))
    assert_holds(prior_of(model, f"{one}:0.5", f"{two}:-2"), merged(base, (changes, 0.5), (half, -2.0)))
    assert_holds(prior_of(model, f"{one}:0"), base)


def test_layers_outside_the_attention_can_be_changed(model, base, tmp_path):
    """Every layer of the prior, convolutions included."""
    torch.manual_seed(3)
    changes, tensors = {}, {}
    for name, weight in base.items():
        if not name.endswith(".weight"):
            continue
        layer = name.removesuffix(".weight")
        down, up = torch.randn(2, *weight.shape[1:]), torch.randn(weight.shape[0], 2, *[1] * (weight.dim() - 2))
        tensors |= {f"prior.{layer}.lora_A.weight": down, f"prior.{layer}.lora_B.weight": up}
        changes[layer] = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
    path = write_lora(tmp_path / "all.safetensors", tensors)
    expected = {name: tensor + changes.get(name.removesuffix(".weight"), 0) for name, tensor in base.items()}
    assert_holds(prior_of(model, path), {**expected, **{n: t for n, t in base.items() if not n.endswith(".weight")}})


def test_an_alpha_in_the_file_sets_the_strength(model, base, changes, tmp_path):
    tensors = diffusers_keys(changes) | {f"prior.{layer}.alpha": torch.tensor(1.5) for layer in changes}
    path = write_lora(tmp_path / "alpha.safetensors", tensors)
    assert_holds(prior_of(model, f"{path}:2"), merged(base, (changes, 2 * 1.5 / RANK)))


def test_pefts_alpha_beside_the_file_or_in_its_header_sets_the_strength(model, base, changes, tmp_path):
    first = next(iter(changes))
    config = {"r": RANK, "lora_alpha": 6, "alpha_pattern": {f"^{first}": 12}, "use_rslora": False}
    header = {"lora_adapter_metadata": json.dumps(config)}
    inside = write_lora(tmp_path / "a" / "style.safetensors", peft_keys(changes), header)
    beside = write_lora(tmp_path / "b" / "adapter_model.safetensors", peft_keys(changes, "base_model.model."))
    (tmp_path / "b" / "adapter_config.json").write_text(json.dumps(config))
    expected = merged(base, (changes, 6 / RANK), ({first: changes[first]}, 6 / RANK))
    for path in (inside, beside):
        assert_holds(prior_of(model, path), expected)


def test_in_float16_the_sum_is_rounded_once(model, base, changes, tmp_path):
    path = write_lora(tmp_path / "style.safetensors", {n: t.half() for n, t in diffusers_2023_keys(changes).items()})
    halves = {layer: (down.half().float(), up.half().float()) for layer, (down, up) in changes.items()}
    found = load_components(
        resolve_checkpoint(model, loras=[path]), decide_placement(PlacementOptions("cpu", "float16"))
    ).prior.state_dict()
    for name, tensor in merged(base, (halves, 1.0)).items():
        torch.testing.assert_close(found[name], tensor.half(), rtol=1e-3, atol=1e-6)


def test_non_finite_values_are_rejected_while_loading(model, changes, tmp_path):
    tensors = diffusers_2023_keys(changes)
    spoilt = next(iter(tensors))
    path = write_lora(tmp_path / "style.safetensors", tensors | {spoilt: torch.full_like(tensors[spoilt], torch.nan)})
    with pytest.raises(CheckpointError, match="values that are not finite"):
        prior_of(model, path)


def test_a_scale_beyond_the_range_of_float16_is_rejected_while_loading(model, changes, tmp_path):
    path = write_lora(tmp_path / "style.safetensors", {n: 1000 * t for n, t in diffusers_2023_keys(changes).items()})
    checkpoint = resolve_checkpoint(model, loras=[f"{path}:100"])
    with pytest.raises(CheckpointError, match="--dtype float32"):
        load_components(checkpoint, decide_placement(PlacementOptions("cpu", "float16")))


def test_image_metadata_info_and_title_name_the_loras(model, changes, tmp_path):
    from wuerst_demo.api import load

    one = write_lora(tmp_path / "pixel-art.safetensors", diffusers_2023_keys(changes))
    two = write_lora(tmp_path / "felt.safetensors", peft_keys(changes))
    wuerstchen = load(model, lora=[f"{one}:0.6", two], device="cpu")
    request = wuerstchen.request(prompt="a cat", seed=1, width=128, height=128, prior_steps=1, decoder_steps=1)
    (result,) = wuerstchen.generate(request)
    assert isinstance(result, Result)
    found = read_image_settings(save_image(result, tmp_path / "out", wuerstchen.name, wuerstchen.revision))
    assert found.checkpoint == "wuerstchen + pixel-art.safetensors:0.6 + felt.safetensors:1"
    checkpoint = resolve_checkpoint(model, loras=[f"{one}:0.6", two])
    facts = info.collect_info(checkpoint, Settings(device="cpu"))
    assert [(each["name"], each["scale"]) for each in facts["checkpoint"]["loras"]] == [
        ("pixel-art.safetensors", 0.6),
        ("felt.safetensors", 1.0),
    ]
    assert "LoRA pixel-art.safetensors, scale 0.6, changes " in info.format_info(facts)
    assert "pixel-art.safetensors:0.6" in checkpoint.info.title == wuerstchen.info.title


def test_the_longest_list_of_loras_can_be_read_back(model, changes, tmp_path):
    long = write_lora(tmp_path / ("x" * 240 + ".safetensors"), diffusers_2023_keys(changes))
    checkpoint = resolve_checkpoint(model, loras=[f"{long}:0.{k}" for k in range(8)])
    request = Limits().request({"prompt": "a cat", "seed": 1})
    path = save_image(Result(0, painted(request), request), tmp_path, checkpoint.name)
    assert read_image_settings(path).checkpoint == checkpoint.name
