"""The loader: networks equal to those of their own libraries, and damaged files rejected."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from tests.peak_memory import measure
from wuerst_demo.benchmarks.random_checkpoint import SMALL_CONFIGS, write_checkpoint
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.devices.placement import decide_placement
from wuerst_demo.errors import CheckpointError, PlacementError
from wuerst_demo.networks import loader
from wuerst_demo.networks.loader import load_components
from wuerst_demo.placement_options import PlacementOptions

NETWORKS = {
    "prior": (WuerstchenPrior, "wuerstchen-prior/prior"),
    "prior_text_encoder": (CLIPTextModel, "wuerstchen-prior/text_encoder"),
    "decoder": (WuerstchenDiffNeXt, "wuerstchen/decoder"),
    "decoder_text_encoder": (CLIPTextModel, "wuerstchen/text_encoder"),
    "vqgan": (PaellaVQModel, "wuerstchen/vqgan"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_equal_those_of_their_own_libraries(name, components, checkpoint_2023):
    network, folder = NETWORKS[name]
    expected = network.from_pretrained(checkpoint_2023 / folder).state_dict()
    found = getattr(components, name).state_dict()
    assert type(getattr(components, name)) is network
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(("name", "folder"), [("prior", "wuerstchen-prior"), ("decoder", "wuerstchen")])
def test_tokenizers_equal_those_of_their_own_library(name, folder, components, checkpoint_2023):
    expected = CLIPTokenizer.from_pretrained(checkpoint_2023 / folder / "tokenizer")
    text = "an Anthropomorphic cat, (dressed)1.5 as a firefighter; ünïcode 🐈"
    found = getattr(components, f"{name}_tokenizer")
    padding = {"padding": "max_length", "max_length": 77, "truncation": True}
    assert dict(found(text, **padding)) == dict(expected(text, **padding))


def test_a_text_encoder_computes_what_its_own_library_computes(components, checkpoint_2023):
    expected = CLIPTextModel.from_pretrained(checkpoint_2023 / "wuerstchen-prior" / "text_encoder").eval()
    ids = torch.arange(77).view(1, 77)
    mask = (torch.arange(77) < 20).long().view(1, 77)
    with torch.no_grad():
        assert torch.equal(
            components.prior_text_encoder(ids, attention_mask=mask).last_hidden_state,
            expected(ids, attention_mask=mask).last_hidden_state,
        )


# Dtypes


def test_weights_stored_in_float16_are_loaded_in_float32(copy, components):
    path = copy / "wuerstchen/decoder/diffusion_pytorch_model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path)
    decoder = load_components(
        resolve_checkpoint(str(copy / "wuerstchen")), decide_placement(PlacementOptions("cpu"))
    ).decoder
    assert decoder.dtype == torch.float32
    expected = components.decoder.state_dict()
    assert all(torch.equal(tensor, expected[name].half().float()) for name, tensor in decoder.state_dict().items())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_network_has_the_dtype_of_the_placement(dtype, resolved, components):
    loaded = load_components(resolved, decide_placement(PlacementOptions("cpu", dtype)))
    for name in NETWORKS:
        expected = getattr(components, name).state_dict()
        for key, tensor in getattr(loaded, name).state_dict().items():
            if tensor.is_floating_point():
                assert tensor.dtype == getattr(torch, dtype), (name, key)
                assert torch.equal(tensor, expected[key].to(tensor.dtype)), (name, key)
            else:
                assert torch.equal(tensor, expected[key]), (name, key)


def test_loaded_networks_are_ready_for_inference(components):
    for name in NETWORKS:
        network = getattr(components, name)
        assert not network.training
        assert not [key for key, tensor in network.named_parameters() if tensor.requires_grad]
        assert not [key for key, tensor in [*network.named_parameters(), *network.named_buffers()] if tensor.is_meta]


def test_sharded_weights_equal_a_single_file(copy, components):
    folder = copy / "wuerstchen/decoder"
    tensors = load_file(folder / "diffusion_pytorch_model.safetensors")
    table = {name: f"diffusion_pytorch_model-0000{k % 3 + 1}-of-00003.safetensors" for k, name in enumerate(tensors)}
    for file in set(table.values()):
        save_file({name: tensors[name] for name in tensors if table[name] == file}, folder / file)
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    found = load_components(
        resolve_checkpoint(str(copy / "wuerstchen")), decide_placement(PlacementOptions("cpu"))
    ).decoder.state_dict()
    expected = components.decoder.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_tensor_names_of_transformers_4_and_5_load(copy, components):
    path = copy / "wuerstchen/text_encoder/model.safetensors"
    tensors = load_file(path)
    new = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    save_file(new | {"embeddings.position_ids": torch.arange(77).view(1, 77)}, path)
    found = load_components(
        resolve_checkpoint(str(copy / "wuerstchen")), decide_placement(PlacementOptions("cpu"))
    ).decoder_text_encoder.state_dict()
    expected = components.decoder_text_encoder.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_files_can_be_overwritten_after_loading(copy, components):
    found = load_components(resolve_checkpoint(str(copy / "wuerstchen")), decide_placement(PlacementOptions("cpu")))
    for path in copy.rglob("*.safetensors"):
        path.write_bytes(bytes(path.stat().st_size))  # in place, as a training run into this folder does
    expected = components.prior.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.prior.state_dict().items())


# Damaged files


@pytest.fixture
def copy(checkpoint_2023, tmp_path) -> Path:
    """The 2023 checkpoint in a folder that a test may change."""
    for name in ("wuerstchen", "wuerstchen-prior"):
        shutil.copytree(checkpoint_2023 / name, tmp_path / name)
    return tmp_path


def change(path: Path, **tensors: torch.Tensor | None) -> None:
    """Replaces tensors of a file, or removes them (None). Write dots as double underscores."""
    held = load_file(path)
    for name, tensor in tensors.items():
        key = name.replace("__", ".")
        if tensor is None:
            del held[key]
        else:
            held[key] = tensor
    save_file(held, path)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def damage(path: Path, byte: int) -> None:
    """Overwrites the middle of the tensors."""
    content = bytearray(path.read_bytes())
    middle = len(content) * 3 // 4 // 8 * 8
    content[middle : middle + 4096] = bytes([byte]) * 4096
    path.write_bytes(content)


DECODER, PRIOR, VQGAN = (
    f"{folder}/diffusion_pytorch_model.safetensors"
    for folder in ("wuerstchen/decoder", "wuerstchen-prior/prior", "wuerstchen/vqgan")
)
TEXT = "wuerstchen/text_encoder/model.safetensors"
DAMAGED = {
    "a tensor missing": (
        lambda at: change(at / DECODER, embedding__1__bias=None),
        r"decoder/diff.* config.json of the decoder do not match: 1 tensors are missing .*embedding\.1\.bias",
    ),
    "a tensor too many": (
        lambda at: change(at / PRIOR, lora=torch.ones(2)),
        r"prior/diff.*1 are unknown \(such as 'lora'\)",
    ),
    "a tensor of another shape": (
        lambda at: change(at / VQGAN, out_block__0__bias=torch.ones(7)),
        r"vqgan/diff.*out_block\.0\.bias' is \(7,\) instead of \(12,\)",
    ),
    "a tensor under both of its names": (
        lambda at: change(at / TEXT, final_layer_norm__bias=torch.ones(16)),
        r"text_encoder/model.*tensors are duplicated",
    ),
    "an integer tensor for a weight": (
        lambda at: change(at / VQGAN, out_block__0__bias=torch.ones(12, dtype=torch.int64)),
        r"out_block\.0\.bias' is stored as I64",
    ),
    "more layers than weights": (
        lambda at: edit(at / "wuerstchen-prior/prior/config.json", depth=3),
        r"prior/diff.*config.json of the prior do not match: \d+ tensors are missing",
    ),
    "fewer layers than weights": (
        lambda at: edit(at / "wuerstchen-prior/prior/config.json", depth=1),
        r"\d+ are unknown",
    ),
    "an impossible config": (
        lambda at: edit(at / "wuerstchen/text_encoder/config.json", num_attention_heads=3),
        "config.json of the decoder's text encoder .* cannot be built",
    ),
    "an unknown activation": (
        lambda at: edit(at / "wuerstchen/text_encoder/config.json", hidden_act="os.system"),
        "config.json of the decoder's text encoder .* cannot be built",
    ),
    "values that are not finite": (
        lambda at: damage(at / PRIOR, 0xFF),
        r"prior/diff.*holds values that are not finite \(in .*\): fetch or copy",
    ),
    "a tokenizer of an unknown model": (
        lambda at: edit(at / "wuerstchen/tokenizer/tokenizer.json", model=3),
        "tokenizer in .*wuerstchen/tokenizer cannot be read",
    ),
    "a tokenizer with an empty vocabulary": (
        lambda at: edit(at / "wuerstchen/tokenizer/tokenizer.json", model={"type": "BPE", "vocab": {}, "merges": []}),
        "tokenizer in .*wuerstchen/tokenizer cannot be read",
    ),
    "a tokenizer that is too short for a prompt": (
        lambda at: edit(at / "wuerstchen/tokenizer/tokenizer_config.json", model_max_length=2),
        "reads 2 tokens at a time; Würstchen needs 77",
    ),
    "a tokenizer whose length is not a number": (
        lambda at: edit(at / "wuerstchen/tokenizer/tokenizer_config.json", model_max_length="77"),
        "reads '77' tokens at a time",
    ),
    "a tokenizer with more tokens than the text encoder": (
        lambda at: [
            edit(at / "wuerstchen/text_encoder/config.json", vocab_size=300),
            change(at / TEXT, text_model__embeddings__token_embedding__weight=torch.ones(300, 16)),
        ],
        "more tokens than its text encoder",
    ),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_damaged_contents_are_rejected_in_one_line_that_names_the_file(how, copy):
    change_files, message = DAMAGED[how]
    change_files(copy)
    resolved = resolve_checkpoint(str(copy / "wuerstchen"))
    with pytest.raises(CheckpointError, match=message) as raised:
        load_components(resolved, decide_placement(PlacementOptions("cpu")))
    assert "\n" not in str(raised.value)


def test_a_file_deleted_after_resolving_is_rejected(copy):
    resolved = resolve_checkpoint(str(copy / "wuerstchen"))
    (copy / VQGAN).unlink()
    with pytest.raises(CheckpointError, match="cannot be read: fetch or copy it again"):
        load_components(resolved, decide_placement(PlacementOptions("cpu")))


def test_values_too_large_for_float16_name_the_remedy(copy):
    change(copy / VQGAN, out_block__0__bias=torch.full((12,), 1e6))
    resolved = resolve_checkpoint(str(copy / "wuerstchen"))
    with pytest.raises(CheckpointError, match=r"too large for float16 .*out_block\.0\.bias.* choose --dtype float32"):
        load_components(resolved, decide_placement(PlacementOptions("cpu", "float16")))
    assert load_components(resolved, decide_placement(PlacementOptions("cpu", "bfloat16")))


def test_weights_that_do_not_fit_are_rejected_before_they_are_read(resolved):
    huge = dataclasses.replace(resolved.prior.weights[0], tensors={"a": HugeTensor()})
    found = dataclasses.replace(resolved, prior=dataclasses.replace(resolved.prior, weights=(huge,)))
    with pytest.raises(PlacementError, match=r"The weights take 4000000\.0 GB in float32, a picture needs"):
        load_components(found, decide_placement(PlacementOptions("cpu")))


class HugeTensor:
    elements = 10**15


# Memory and output


@pytest.mark.parametrize("error", ["DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory"])
def test_running_out_of_memory_while_loading_names_the_remedy(error, resolved, monkeypatch):
    def fail(*arguments):
        raise RuntimeError(error)

    monkeypatch.setattr(loader, "_convert_tensor", fail)
    with pytest.raises(PlacementError, match=r"cpu ran out of memory while the .* was loaded: .*--dtype float16"):
        load_components(resolved, decide_placement(PlacementOptions("cpu")))


def test_loading_prints_nothing(checkpoint_2023):
    program = f"""
from wuerst_demo.networks.loader import load_components
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.devices.placement import decide_placement
from wuerst_demo.placement_options import PlacementOptions
folder = {str(checkpoint_2023 / "wuerstchen")!r}
load_components(resolve_checkpoint(folder), decide_placement(PlacementOptions("cpu")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_peak_memory_of_loading_is_little_more_than_the_weights(tmp_path):
    write_checkpoint(tmp_path, SMALL_CONFIGS, "zeros")
    measured = measure(tmp_path, "float16")
    # Twice the weights in float16 are the weights as stored, so a loader that reads before it converts is far out.
    assert measured.weights <= measured.taken < 1.25 * measured.weights
