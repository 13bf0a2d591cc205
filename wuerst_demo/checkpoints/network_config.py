"""Validation of the five networks' config.json, and of whether the networks fit together.

A missing key has the default of its class (diffusers' WuerstchenPrior, WuerstchenDiffNeXt and PaellaVQModel;
transformers' CLIPTextConfig). Keys not listed here are dropped, so no config can make a library fetch or run code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wuerst_demo.errors import CheckpointError

NetworkConfig = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class NetworkKind:
    """One of the five networks of a cascade."""

    name: str
    """Display name, and key of the network."""
    class_name: str
    """Class in diffusers or transformers."""
    weights_stem: str
    """Name of the weights file without ".safetensors"."""
    defaults: NetworkConfig
    """Every option that is read, with the default of the class."""


@dataclass(frozen=True)
class LatentScaling:
    """Numbers of the two model_index.json files that relate latents to pixels and to the decoder's input."""

    latent_mean: float = 42.0
    """The decoder is conditioned on `prior latents * latent_mean - latent_std`."""
    latent_std: float = 1.0
    resolution_multiple: float = 42.67
    """Pixels per prior latent: H x W pixels are (B, 16, ceil(H / multiple), ceil(W / multiple)) in the prior."""
    latent_dim_scale: float = 10.67
    """Decoder latents per prior latent, along a side."""


_CLIP_TEXT_DEFAULTS: NetworkConfig = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "projection_dim": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0,
    "initializer_range": 0.02,
    "initializer_factor": 1.0,
    "pad_token_id": 1,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
}
PRIOR = NetworkKind(
    "prior",
    "WuerstchenPrior",
    "diffusion_pytorch_model",
    {"c_in": 16, "c": 1280, "c_cond": 1024, "c_r": 64, "depth": 16, "nhead": 16, "dropout": 0.1},
)
PRIOR_TEXT_ENCODER = NetworkKind("prior's text encoder", "CLIPTextModel", "model", _CLIP_TEXT_DEFAULTS)
DECODER = NetworkKind(
    "decoder",
    "WuerstchenDiffNeXt",
    "diffusion_pytorch_model",
    {
        "c_in": 4,
        "c_out": 4,
        "c_r": 64,
        "patch_size": 2,
        "c_cond": 1024,
        "c_hidden": [320, 640, 1280, 1280],
        "nhead": [-1, 10, 20, 20],
        "blocks": [4, 4, 14, 4],
        "level_config": ["CT", "CTA", "CTA", "CTA"],
        "inject_effnet": [False, True, True, True],
        "effnet_embd": 16,
        "clip_embd": 1024,
        "kernel_size": 3,
        "dropout": 0.1,
    },
)
DECODER_TEXT_ENCODER = NetworkKind("decoder's text encoder", "CLIPTextModel", "model", _CLIP_TEXT_DEFAULTS)
VQGAN = NetworkKind(
    "VQGAN",
    "PaellaVQModel",
    "diffusion_pytorch_model",
    {
        "in_channels": 3,
        "out_channels": 3,
        "up_down_scale_factor": 2,
        "levels": 2,
        "bottleneck_blocks": 12,
        "embed_dim": 384,
        "latent_channels": 4,
        "num_vq_embeddings": 8192,
        "scale_factor": 0.3764,
    },
)
MAX_OPTION_VALUE = 2**17
"""Largest allowed integer: of channels, heads, tokens, codes."""
MAX_LAYERS = 1024
_MAX_LEVELS = 16
TOKENS = 77
"""Tokens of a CLIP text encoder."""
_LAYER_COUNT_KEYS = ("depth", "num_hidden_layers", "bottleneck_blocks", "blocks")
_MAX_FLOAT = 1e6
_NO_ATTENTION = -1
"""Number of heads of a level without attention."""


def declared_class(config: NetworkConfig) -> str:
    """Class that a config.json is for, "" if it names none."""
    for name in (config.get("_class_name"), *_as_list(config.get("architectures")), config.get("model_type")):
        if isinstance(name, str):
            return name
    return ""


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def parse_config(kind: NetworkKind, config: NetworkConfig, where: str) -> NetworkConfig:
    """Complete, validated options of a network; `where` names the file in error messages.

    Raises CheckpointError for another class and for values that the class does not support.
    """
    declared = declared_class(config)
    if declared not in (kind.class_name, *({"clip_text_model"} if kind.class_name == "CLIPTextModel" else ())):
        raise CheckpointError(
            f"{where} names {repr(declared[:60]) if declared else 'no class'} where the {kind.name} has to be a"
            f" {kind.class_name}: give a Würstchen v2 checkpoint."
        )
    options = {}
    for key, default in kind.defaults.items():
        value = config.get(key, default)
        if not _is_allowed_value(key, value, default):
            raise CheckpointError(f"{where} has an impossible value for '{key}': restore the file.")
        options[key] = value
    lists = {len(value) for value in options.values() if isinstance(value, list)}
    if len(lists) > 1:
        raise CheckpointError(f"{where} has lists of different lengths for its levels: restore the file.")
    if kind is DECODER and any(
        "A" in level and heads == _NO_ATTENTION
        for level, heads in zip(options["level_config"], options["nhead"], strict=True)
    ):
        raise CheckpointError(f"{where} has a level with attention but no heads: restore the file.")
    return options


def count_layers(config: NetworkConfig) -> int:
    """Number of layers that a config asks for, each of which has at least one tensor."""
    if "level_config" in config:
        return sum(len(level) * blocks for level, blocks in zip(config["level_config"], config["blocks"], strict=True))
    return sum(config.get(key, 0) for key in _LAYER_COUNT_KEYS)


def _is_allowed_value(key: str, value: object, default: object) -> bool:
    """Whether a value has the type of the default and a size that can be built."""
    least: float
    if isinstance(default, list):
        return (
            isinstance(value, list)
            and 0 < len(value) <= _MAX_LEVELS
            and all(
                (key == "nhead" and type(item) is int and item == _NO_ATTENTION)
                or _is_allowed_value(key, item, default[-1])
                for item in value
            )
        )
    if key == "level_config":
        return isinstance(value, str) and re.fullmatch(f"[CTA]{{1,{_MAX_LEVELS}}}", value) is not None
    if isinstance(default, bool | str):
        return type(value) is type(default)
    if isinstance(default, float):
        least = 1 / _MAX_FLOAT if key == "scale_factor" else 0  # a divisor
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= _MAX_FLOAT
    least = 0 if key.endswith("_token_id") else 1
    most = _MAX_LEVELS if key == "levels" else MAX_LAYERS if key in _LAYER_COUNT_KEYS else MAX_OPTION_VALUE
    return type(value) is int and least <= value <= most


def check_compatible(
    prior: NetworkConfig,
    prior_text: NetworkConfig,
    decoder: NetworkConfig,
    decoder_text: NetworkConfig,
    vqgan: NetworkConfig,
) -> None:
    """Raise CheckpointError, naming the networks, if the options of two do not fit together."""
    pairs = [
        (prior_text["hidden_size"], prior["c_cond"], "prior's text encoder", "prior", "--prior"),
        (decoder_text["hidden_size"], decoder["clip_embd"], "decoder's text encoder", "decoder", "--model"),
        (prior["c_in"], decoder["effnet_embd"], "prior", "decoder", "--prior"),
        (decoder["c_out"], decoder["c_in"], "decoder's output", "decoder's input", "--model"),
        (decoder["c_out"], vqgan["latent_channels"], "decoder", "VQGAN", "--vqgan"),
    ]
    for output, expected, network, next_network, option in pairs:
        if output != expected:
            raise CheckpointError(
                f"The {network} outputs {output} channels and the {next_network} expects {expected}: they do not belong"
                f" together, choose another {option}."
            )
    for config, kind in ((prior_text, PRIOR_TEXT_ENCODER), (decoder_text, DECODER_TEXT_ENCODER)):
        if config["max_position_embeddings"] < TOKENS:
            raise CheckpointError(
                f"The {kind.name} reads only {config['max_position_embeddings']} tokens; Würstchen needs {TOKENS}:"
                " choose another."
            )
