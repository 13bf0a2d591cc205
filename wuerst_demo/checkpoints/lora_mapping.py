"""Mapping of a LoRA's tensors to the prior's weights, with their strengths.

A LoRA (Hu et al. 2021, arXiv 2106.09685) adds `strength * up @ down` to a weight of shape (out, in), with `up`
(out, rank) and `down` (rank, in). Four styles of key are supported:

    diffusers, 2023     prior.blocks.2.attention.processor.to_q_lora.down.weight
    diffusers, later    prior.blocks.2.attention.to_q.lora.down.weight
    peft                ...to_q.lora_A.weight
    OneTrainer          lora_prior_unet_blocks_2_attention_to_q.lora_down.weight (early: lora_prior_prior_...)

Only names and shapes are read, so a LoRA for another network is rejected before weights are fetched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wuerst_demo.checkpoints.network_config import NetworkConfig
from wuerst_demo.checkpoints.safetensors_header import SafetensorsFile, TensorInfo
from wuerst_demo.errors import CheckpointError

PEFT_PREFIX = "base_model.model."
"""Prefix of every key in files written by peft."""
MAX_PATTERN_CHARS = 200
PRIOR_LORA_REMEDY = "give a LoRA that was trained on a Würstchen prior"
_MATRIX_KEY = re.compile(
    r"(?P<module>.+?)\.(?:(?:processor\.)?(?P<old>to_q|to_k|to_v|to_out)_lora|lora_linear_layer|lora)"
    r"[._](?P<side>down|up|A|B)(?:\.[A-Za-z0-9_-]+)?\.weight"
)
_ALPHA_KEY = re.compile(r"(?P<module>.+?)(?:\.(?:processor\.)?(?P<old>to_q|to_k|to_v|to_out)_lora)?\.alpha")
_ONETRAINER_KEY = re.compile(r"lora_prior_(?:unet|prior)[._](?P<layer>.+)")
_MAX_QUOTED_CHARS = 80
"""How much of a tensor's name is repeated in an error message."""
_UNSUPPORTED_PREFIXES = {
    "lora_prior_te": "changes the prior's text encoder",
    "bundle_emb.": "contains embeddings of its own",
}
"""Key prefixes in OneTrainer's files of extensions that are not supported -> what they do."""
_OTHER_NETWORK_PREFIXES = {
    "lora_unet_": "Stable Diffusion",
    "lora_te": "Stable Diffusion's text encoder",
    "unet.": "Stable Diffusion",
    "text_encoder": "a text encoder",
    "text_model.": "a text encoder",
    "transformer.": "a diffusion transformer",
    "diffusion_model.": "a diffusion transformer",
    "decoder.": "a decoder",
}
"""Key prefixes in LoRAs for other networks."""


@dataclass(frozen=True)
class LoraPair:
    """Change of one weight by `strength * up @ down`."""

    weight: str
    """Name of the weight in the prior."""
    down: str
    """Key in the file, as `up`."""
    up: str
    strength: float
    alpha: str = ""
    """Key of a number in the file that multiplies the strength, or ""."""


@dataclass(frozen=True)
class Lora:
    """A LoRA on disk that fits the prior."""

    name: str
    """For users and image metadata: Hub name with the file's path, or the name of the file or folder."""
    path: Path
    scale: float
    """The requested strength; `LoraPair.strength` includes it."""
    pairs: tuple[LoraPair, ...]
    revision: str = ""
    """Commit of the repository; "" for a local file."""

    def __str__(self) -> str:
        return f"{self.name}:{self.scale:g}"


@dataclass(frozen=True)
class ModulePattern:
    """A key of peft's `alpha_pattern`: the end of a module's name, in which ".*" stands for any text.

    peft takes a regular expression; one from a stranger's file is never run, since it can take for ever.
    """

    parts: tuple[str, ...]
    """The texts around each ".*"."""
    anchored: bool
    """Whether it is the whole name."""

    @classmethod
    def parse(cls, pattern: str) -> ModulePattern:
        """The pattern of a key. Raises ValueError for a regular expression that is more than this."""
        parts = pattern.removeprefix("^").removesuffix("$").split(".*")
        names = tuple(part.replace("\\.", ".") for part in parts)
        if len(pattern) > MAX_PATTERN_CHARS or any(set(part) & set("\\^$*+?{}[]|()") for part in names):
            raise ValueError("not a module's name")
        return cls(names, pattern.startswith("^"))

    def matches(self, module: str) -> bool:
        """Whether a module has this name, or one that ends with it after a dot."""
        starts = [0] if self.anchored else [0, *(k + 1 for k, each in enumerate(module) if each == ".")]
        return any(self._fits(module[start:]) for start in starts)

    def _fits(self, text: str) -> bool:
        first, *others = self.parts
        if not others:
            return text == first
        *between, last = others
        if not text.startswith(first):
            return False
        text = text[len(first) :]
        for part in between:
            _, found, text = text.partition(part) if part else ("", True, text)
            if not found:
                return False
        return text.endswith(last)


@dataclass(frozen=True)
class LoraCandidate:
    """A LoRA file with a valid header, not matched with a prior yet. Attributes as in `Lora`."""

    name: str
    scale: float
    file: SafetensorsFile
    config: Mapping[str, Any]
    """lora_alpha, alpha_pattern (by `ModulePattern`) and use_rslora of peft's config, if there is one."""
    revision: str = ""


def match_lora(candidate: LoraCandidate, prior: NetworkConfig) -> Lora:
    """The LoRA for a prior with these options. Raises CheckpointError if it is for another network."""
    shapes = prior_weight_shapes(prior)
    by_underscored_name = {_underscored(weight): weight for weight in shapes}
    keys: dict[str, dict[str, str]] = {}
    for key in candidate.file.tensors:
        weight, side = _parse_key(key, by_underscored_name)
        if not side or weight not in shapes:
            raise _mismatch_error(candidate, key, side)
        if side in keys.setdefault(weight, {}):
            raise CheckpointError(f"{candidate.name} changes {weight!r} twice: {PRIOR_LORA_REMEDY}.")
        keys[weight][side] = key
    pairs = [_build_pair(candidate, weight, by_side, shapes[weight]) for weight, by_side in keys.items()]
    if not pairs:
        raise CheckpointError(f"{candidate.name} is empty: {PRIOR_LORA_REMEDY}.")
    return Lora(candidate.name, candidate.file.path, candidate.scale, tuple(pairs), candidate.revision)


def prior_weight_shapes(prior: NetworkConfig) -> Mapping[str, tuple[int, ...]]:
    """Weights of the prior's layers, by name, with the shapes that WuerstchenPrior gives them."""
    c, shapes = prior["c"], dict[str, tuple[int, ...]]()
    shapes["projection"] = (c, prior["c_in"], 1, 1)
    shapes["cond_mapper.0"], shapes["cond_mapper.2"] = (c, prior["c_cond"]), (c, c)
    for first in range(0, 3 * prior["depth"], 3):
        shapes[f"blocks.{first}.depthwise"] = (c, 1, 3, 3)
        shapes[f"blocks.{first}.channelwise.0"] = (4 * c, c)
        shapes[f"blocks.{first}.channelwise.4"] = (c, 4 * c)
        shapes[f"blocks.{first + 1}.mapper"] = (2 * c, prior["c_r"])
        for layer in ("attention.to_q", "attention.to_k", "attention.to_v", "attention.to_out.0", "kv_mapper.1"):
            shapes[f"blocks.{first + 2}.{layer}"] = (c, c)
    shapes["out.1"] = (2 * prior["c_in"], c, 1, 1)
    return {f"{layer}.weight": shape for layer, shape in shapes.items()}


def _parse_key(key: str, by_underscored_name: Mapping[str, str]) -> tuple[str, str]:
    """Weight of the prior that a tensor belongs to, and its side: down, up or alpha; ("", "") for an unknown key."""
    match = _MATRIX_KEY.fullmatch(key)
    side = {"down": "down", "A": "down", "up": "up", "B": "up"}[match["side"]] if match else "alpha"
    match = match or _ALPHA_KEY.fullmatch(key)
    if match is None:
        return "", ""
    layer = match["module"].removeprefix(PEFT_PREFIX).removeprefix("prior.")
    if match["old"]:
        layer += "." + match["old"] + ".0" * (match["old"] == "to_out")
    weight = f"{layer}.weight"
    if named := _ONETRAINER_KEY.fullmatch(weight):
        weight = by_underscored_name.get(_underscored(named["layer"]), weight)
    return weight, side


def _underscored(weight: str) -> str:
    return weight.replace(".", "_")


def _build_pair(candidate: LoraCandidate, weight: str, keys: Mapping[str, str], shape: tuple[int, ...]) -> LoraPair:
    """The change of one weight, whose tensors must be complete and fit. Raises CheckpointError."""
    if not {"down", "up"} <= set(keys):
        present = keys.get("down") or keys.get("up") or keys["alpha"]
        raise CheckpointError(
            f"{candidate.name} has {present[:_MAX_QUOTED_CHARS]!r} without its counterpart: fetch or copy it again."
        )
    down, up = (candidate.file.tensors[keys[side]] for side in ("down", "up"))
    rank = down.shape[0] if down.shape else 0
    product = _matrix_shape(up)[:1] + _matrix_shape(down)[1:]
    if not rank or _matrix_shape(up)[1:] != (rank,) or "I64" in (down.dtype, up.dtype):
        raise CheckpointError(
            f"{candidate.name} is damaged: the two tensors for {weight!r} do not fit. Fetch it again."
        )
    expected = (shape[0], math.prod(shape[1:]))
    if product != expected:
        raise CheckpointError(
            f"{candidate.name} is a LoRA for a prior of another width: {weight!r} is {' x '.join(map(str, product))}"
            f" there and {' x '.join(map(str, expected))} here. Give a LoRA for this prior, or with --prior the one"
            " that it was made for."
        )
    alpha = keys.get("alpha", "")
    if alpha and candidate.file.tensors[alpha].elements != 1:
        raise CheckpointError(
            f"{candidate.name} is damaged: {alpha[:_MAX_QUOTED_CHARS]!r} is not one number. Fetch it again."
        )
    return LoraPair(weight, keys["down"], keys["up"], _strength(candidate, weight, rank, bool(alpha)), alpha)


def _matrix_shape(tensor: TensorInfo) -> tuple[int, ...]:
    return (tensor.shape[0], math.prod(tensor.shape[1:])) if len(tensor.shape) > 1 else tensor.shape


def _strength(candidate: LoraCandidate, weight: str, rank: int, alpha_in_file: bool) -> float:
    """Factor of `up @ down`: the scale times alpha / rank, or the scale alone where no alpha is given.

    With rank-stabilised LoRA (arXiv 2312.03732) the divisor is sqrt(rank).
    """
    if alpha_in_file:
        return candidate.scale / rank
    alpha = candidate.config.get("lora_alpha")
    for pattern, value in candidate.config.get("alpha_pattern", {}).items():
        if pattern.matches(weight.removesuffix(".weight")):
            alpha = value
            break
    if alpha is None:
        return candidate.scale
    return float(candidate.scale * alpha / (math.sqrt(rank) if candidate.config.get("use_rslora") else rank))


def _mismatch_error(candidate: LoraCandidate, key: str, side: str) -> CheckpointError:
    """Error that explains why a file with this tensor is not for the prior."""
    quoted = repr(key[:_MAX_QUOTED_CHARS])
    for start, does in _UNSUPPORTED_PREFIXES.items():
        if key.startswith(start):
            return CheckpointError(
                f"{candidate.name} also {does} ({quoted}), and only the prior's weights can be changed here: train"
                " it without that, or save it with the prior's part alone."
            )
    for start, whose in _OTHER_NETWORK_PREFIXES.items():
        if key.removeprefix(PEFT_PREFIX).startswith(start):
            return CheckpointError(
                f"{candidate.name} is a LoRA for {whose} ({quoted}), not for a prior: {PRIOR_LORA_REMEDY}."
            )
    if side:
        return CheckpointError(
            f"{candidate.name} changes {quoted}, which this prior does not have: {PRIOR_LORA_REMEDY}."
        )
    if any(word in key for word in ("lora", "lokr", "hada", "dora")):
        return CheckpointError(
            f"{candidate.name} is an adapter of another kind ({quoted}); plain LoRA is read: give one of that kind."
        )
    return CheckpointError(f"{candidate.name} is not a LoRA (it has {quoted}): {PRIOR_LORA_REMEDY}.")
