"""Checkpoints with random weights and the published networks' sizes: 12.4 GB in float32.

The layout is that of the Hub's repositories; the tokenizers are those of the shipped checkpoint.
"""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch
from accelerate import init_empty_weights  # type: ignore[import-untyped]
from diffusers.models.modeling_utils import no_init_weights
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from wuerst_demo.checkpoints.source import COCKTAIL_FOLDER
from wuerst_demo.devices.placement import Placement
from wuerst_demo.networks.components import CascadeComponents
from wuerst_demo.networks.loader import prepare_network

NetworkConfigs = Mapping[str, Mapping[str, Any]]
"""Folder of a network, such as "wuerstchen-prior/prior" -> its config; what is missing has the class's default."""

_CONFIGS = json.loads(Path(__file__).with_name("network_configs.json").read_text())
PUBLISHED_CONFIGS: dict[str, dict[str, Any]] = _CONFIGS["published"]
SMALL_CONFIGS: dict[str, dict[str, Any]] = _CONFIGS["small"]  #: 116 million parameters: 465 MB in float32.

_CLASSES: Mapping[str, Any] = {"prior": WuerstchenPrior, "decoder": WuerstchenDiffNeXt, "vqgan": PaellaVQModel}
_NOISE_LENGTH = 2**24 - 3  #: Random numbers, generated once: a prime, so that rows of weights do not repeat.


def build_networks(configs: NetworkConfigs) -> Iterator[tuple[str, nn.Module]]:
    """The networks by folder, with weights on the meta device (no memory)."""
    for folder, config in configs.items():
        name = Path(folder).name
        with no_init_weights(), init_empty_weights():
            is_text = name == "text_encoder"
            network = CLIPTextModel(CLIPTextConfig(**config)) if is_text else _CLASSES[name](**config)
        yield folder, network  # outside, where tensors that replace weights keep their device


def stored_bytes(configs: NetworkConfigs) -> int:
    """Size of the networks' weights on disk."""
    networks = build_networks(configs)
    return sum(_tensor_bytes(tensor) for _, network in networks for tensor in network.state_dict().values())


def write_checkpoint(folder: Path, configs: NetworkConfigs, fill: Literal["zeros", "random"]) -> None:
    """A checkpoint in `folder / "wuerstchen"`, with its prior beside it.

    Zeros are holes in sparse files and need no space. Random weights are scaled so that activations keep their size
    from layer to layer and stay finite in float16; their images are noise.
    """
    skipped = shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json", "demo.json")
    shutil.copytree(COCKTAIL_FOLDER.parent, folder, dirs_exist_ok=True, ignore=skipped, copy_function=shutil.copyfile)
    noise = torch.randn(_NOISE_LENGTH, generator=torch.Generator().manual_seed(0))
    for place, network in build_networks(configs):
        is_text = Path(place).name == "text_encoder"
        declared = {"architectures": ["CLIPTextModel"]} if is_text else {"_class_name": type(network).__name__}
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / "config.json").write_text(json.dumps({**configs[place], **declared}))
        tensors = network.state_dict()
        header, end = dict[str, Any](), 0
        for name, tensor in tensors.items():
            start, end = end, end + _tensor_bytes(tensor)
            dtype = "F32" if tensor.is_floating_point() else "I64"
            header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
        head = json.dumps(header).encode()
        stem = "model" if is_text else "diffusion_pytorch_model"
        with (folder / place / f"{stem}.safetensors").open("wb") as file:
            file.write(len(head).to_bytes(8, "little") + head)
            if fill == "zeros":
                file.truncate(8 + len(head) + end)
            else:
                for name, tensor in tensors.items():
                    _write_tensor(file, name, tensor, noise)


def _tensor_bytes(tensor: Tensor) -> int:
    return tensor.numel() * (4 if tensor.is_floating_point() else 8)


def _write_tensor(file: BinaryIO, name: str, tensor: Tensor, noise: Tensor) -> None:
    """Random weights for one tensor, written in pieces."""
    if not tensor.is_floating_point():
        file.write(bytes(8 * tensor.numel()))
        return
    mean, scale = _weight_distribution(name, tensor)
    left = tensor.numel()
    while left:
        piece = noise[: min(left, _NOISE_LENGTH)] * scale + mean
        file.write(piece.numpy().data)
        left -= piece.numel()


def _weight_distribution(name: str, tensor: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of the random weights of a tensor."""
    mean = float(name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "running_var")))
    scale = math.prod(tensor.shape[1:]) ** -0.5 if tensor.dim() > 1 else 0.02
    if name.startswith(("effnet_mappers", "out.")):
        scale *= 0.05  # the prior's latents are 42 times as large as a layer's output
    return mean, scale


def random_components(configs: NetworkConfigs, placement: Placement) -> CascadeComponents:
    """The components of a checkpoint as `write_checkpoint` fills it, made in the memory of the placement's device."""
    generator = torch.Generator(placement.device).manual_seed(0)
    dtype = getattr(torch, placement.dtype)

    def random_tensor(name: str, tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return torch.zeros(tensor.shape, dtype=tensor.dtype, device=placement.device)
        mean, scale = _weight_distribution(name, tensor)
        empty = torch.empty(tensor.shape, dtype=dtype, device=placement.device)
        return empty.normal_(mean, scale, generator=generator)

    networks: dict[str, Any] = {}
    for place, network in build_networks(configs):
        tensors = {name: random_tensor(name, tensor) for name, tensor in network.state_dict().items()}
        network.load_state_dict(tensors, strict=True, assign=True)
        prepare_network(network, placement)
        networks[place] = network
    prior_tokenizer, decoder_tokenizer = (
        CLIPTokenizer.from_pretrained(str(COCKTAIL_FOLDER.parent / name / "tokenizer"), local_files_only=True)
        for name in ("wuerstchen-prior", "wuerstchen")
    )
    return CascadeComponents(
        prior=networks["wuerstchen-prior/prior"],
        prior_text_encoder=networks["wuerstchen-prior/text_encoder"],
        prior_tokenizer=prior_tokenizer,
        decoder=networks["wuerstchen/decoder"],
        decoder_text_encoder=networks["wuerstchen/text_encoder"],
        decoder_tokenizer=decoder_tokenizer,
        vqgan=networks["wuerstchen/vqgan"],
    )
