"""What the five networks' config.json may say, and that they fit together.

Reads dictionaries only: does not know files, torch or the network classes. What a config leaves out has the default
of its class (diffusers' WuerstchenPrior, WuerstchenDiffNeXt and PaellaVQModel; transformers' CLIPTextConfig). Keys
that are not listed here are dropped, among them all that could make a library fetch or run something.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wuerst_demo.errors import CheckpointError

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind of network: what people call it, its class, the stem of its weights file, its options' defaults."""

    called: str
    network: str
    weights: str
    defaults: Config


_TEXT: Config = {
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
PRIOR = Kind(
    "prior",
    "WuerstchenPrior",
    "diffusion_pytorch_model",
    {"c_in": 16, "c": 1280, "c_cond": 1024, "c_r": 64, "depth": 16, "nhead": 16, "dropout": 0.1},
)
PRIOR_TEXT = Kind("prior's text encoder", "CLIPTextModel", "model", _TEXT)
DECODER = Kind(
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
DECODER_TEXT = Kind("decoder's text encoder", "CLIPTextModel", "model", _TEXT)
VQGAN = Kind(
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
_WIDEST = 2**17
_DEEPEST = 1024
_DEPTHS = ("depth", "num_hidden_layers", "levels", "bottleneck_blocks", "blocks")


def named_class(config: Config) -> str:
    """The class that a config.json says it is for, or "" where it does not say."""
    for name in (config.get("_class_name"), *_listed(config.get("architectures")), config.get("model_type")):
        if isinstance(name, str):
            return name
    return ""


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def read(kind: Kind, config: Config, where: str) -> Config:
    """The options of a network, complete and of the right types; `where` is for the message.

    Raises CheckpointError for another class and for values that no network of this class can have.
    """
    found = named_class(config)
    if found not in (kind.network, *({"clip_text_model"} if kind.network == "CLIPTextModel" else ())):
        raise CheckpointError(
            f"{where} says {repr(found[:60]) if found else 'no class'} where the {kind.called} has to be a"
            f" {kind.network}: give a Würstchen v2 checkpoint."
        )
    options = {}
    for key, default in kind.defaults.items():
        value = config.get(key, default)
        if not _like(key, value, default):
            raise CheckpointError(f"{where} has an impossible value for '{key}': restore the file.")
        options[key] = value
    lists = {len(value) for value in options.values() if isinstance(value, list)}
    if len(lists) > 1:
        raise CheckpointError(f"{where} has lists of different lengths for its levels: restore the file.")
    return options


def _like(key: str, value: object, default: object) -> bool:
    """Whether a value is of its default's type and of a size that can be built."""
    if isinstance(default, list):
        return isinstance(value, list) and 0 < len(value) <= 16 and all(_like(key, item, default[-1]) for item in value)
    if isinstance(default, bool | str):
        return type(value) is type(default)
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    least = {"nhead": -1, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}.get(key, 1)
    most = _DEEPEST if key in _DEPTHS else _WIDEST
    return type(value) is int and least <= value <= most


def agree(prior: Config, prior_text: Config, decoder: Config, decoder_text: Config, vqgan: Config) -> None:
    """Checks that five sets of options belong together. Raises CheckpointError, saying which two do not."""
    pairs = [
        (prior_text["hidden_size"], prior["c_cond"], "prior's text encoder", "prior", "--prior"),
        (decoder_text["hidden_size"], decoder["clip_embd"], "decoder's text encoder", "decoder", "--model"),
        (prior["c_in"], decoder["effnet_embd"], "prior", "decoder", "--prior"),
        (decoder["c_out"], decoder["c_in"], "decoder's output", "decoder's input", "--model"),
        (decoder["c_out"], vqgan["latent_channels"], "decoder", "VQGAN", "--vqgan"),
    ]
    for gives, takes, giver, taker, option in pairs:
        if gives != takes:
            raise CheckpointError(
                f"The {giver} gives {gives} channels and the {taker} takes {takes}: they do not belong together,"
                f" choose another {option}."
            )
    for text, called in ((prior_text, PRIOR_TEXT.called), (decoder_text, DECODER_TEXT.called)):
        if text["max_position_embeddings"] < 77:
            raise CheckpointError(
                f"The {called} reads only {text['max_position_embeddings']} tokens; Würstchen needs 77: choose another."
            )
