"""What a LoRA changes: which of the prior's weights, and how strongly.

A LoRA adds `scale * up @ down` to some of a network's weights, where `up` and `down` have few columns and rows. Four
ways of naming them are read: that of 2023 (`prior.blocks.2.attention.processor.to_q_lora.down.weight`), that which
followed it (`prior.blocks.2.attention.to_q.lora.down.weight`), peft's (`...to_q.lora_A.weight`), and OneTrainer's
(`lora_prior_unet_blocks_2_attention_to_q.lora_down.weight`, in early files `lora_prior_prior_...`).

Reads names and shapes: a LoRA for something else is refused before the checkpoint's weights are fetched or torch is
imported. Does not know where the file comes from (lorafile.py), nor how weights are changed (merging.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wuerst_demo.errors import CheckpointError
from wuerst_demo.model.configs import Config
from wuerst_demo.model.weights import Stored, WeightsFile

PEFT = "base_model.model."
"""What peft's own files put before every name."""
GIVE = "give a LoRA that was trained on a Würstchen prior"
_KEY = re.compile(
    r"(?P<module>.+?)\.(?:(?:processor\.)?(?P<old>to_q|to_k|to_v|to_out)_lora|lora_linear_layer|lora)"
    r"[._](?P<side>down|up|A|B)(?:\.[A-Za-z0-9_-]+)?\.weight"
)
_ALPHA = re.compile(r"(?P<module>.+?)(?:\.(?:processor\.)?(?P<old>to_q|to_k|to_v|to_out)_lora)?\.alpha")
_ONE_TRAINER = re.compile(r"lora_prior_(?:unet|prior)[._](?P<layer>.+)")
_BESIDE = {"lora_prior_te": "changes the prior's text encoder", "bundle_emb.": "brings embeddings of its own"}
"""How names start in OneTrainer's files for what goes with a prior's LoRA, and what that does."""
_OTHERS = {
    "lora_unet_": "Stable Diffusion",
    "lora_te": "Stable Diffusion's text encoder",
    "unet.": "Stable Diffusion",
    "text_encoder": "a text encoder",
    "text_model.": "a text encoder",
    "transformer.": "a diffusion transformer",
    "diffusion_model.": "a diffusion transformer",
    "decoder.": "a decoder",
}
"""How names start in files for other networks."""


@dataclass(frozen=True)
class Pair:
    """One changed weight: `weight` as the prior names it gains `strength * up @ down`; both are names in the file.

    Where the file holds a number `alpha` for it, that is its name, and the strength is alpha times what is said here.
    """

    weight: str
    down: str
    up: str
    strength: float
    alpha: str = ""


@dataclass(frozen=True)
class Lora:
    """A LoRA on disk that fits the prior, and how much of it is wanted.

    `name` is fit to be shown and kept in a picture's metadata: the Hub name with the file's path, or a file's own name.
    `revision` is the commit of its repository, "" for a file.
    """

    name: str
    path: Path
    scale: float
    pairs: tuple[Pair, ...]
    revision: str = ""

    def __str__(self) -> str:
        return f"{self.name}:{self.scale:g}"


@dataclass(frozen=True)
class Found:
    """A LoRA file with a sound header that has not been held against a prior yet."""

    name: str
    scale: float
    file: WeightsFile
    config: Mapping[str, Any]
    revision: str = ""


def fit(found: Found, prior: Config) -> Lora:
    """The LoRA for a prior with these options. Raises CheckpointError if it is for something else."""
    weights = weights_of(prior)
    flat = {_flattened(weight): weight for weight in weights}
    sides: dict[str, dict[str, str]] = {}
    for key in found.file.tensors:
        weight, side = _target(key, flat)
        if not side or weight not in weights:
            raise _stranger(found, key, side)
        if side in sides.setdefault(weight, {}):
            raise CheckpointError(f"{found.name} changes {weight!r} twice: {GIVE}.")
        sides[weight][side] = key
    pairs = [_pair(found, weight, each, weights[weight]) for weight, each in sides.items()]
    if not pairs:
        raise CheckpointError(f"{found.name} holds nothing: {GIVE}.")
    return Lora(found.name, found.file.path, found.scale, tuple(pairs), found.revision)


def weights_of(prior: Config) -> Mapping[str, tuple[int, ...]]:
    """The weights of a prior's layers with their shapes, as its class lays them out."""
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


def _target(key: str, flat: Mapping[str, str]) -> tuple[str, str]:
    """The prior's weight that a tensor of the file is about, and its part in it; ("", "") for a strange name. `flat`
    has the prior's weights by their names without dots."""
    match = _KEY.fullmatch(key)
    side = {"down": "down", "A": "down", "up": "up", "B": "up"}[match["side"]] if match else "alpha"
    match = match or _ALPHA.fullmatch(key)
    if match is None:
        return "", ""
    layer = match["module"].removeprefix(PEFT).removeprefix("prior.")
    if match["old"]:
        layer += "." + match["old"] + ".0" * (match["old"] == "to_out")
    weight = f"{layer}.weight"
    if named := _ONE_TRAINER.fullmatch(weight):
        weight = flat.get(_flattened(named["layer"]), weight)
    return weight, side


def _flattened(weight: str) -> str:
    return weight.replace(".", "_")


def _pair(found: Found, weight: str, sides: Mapping[str, str], shape: tuple[int, ...]) -> Pair:
    """One weight's tensors, which have to be there and to fit. Raises CheckpointError."""
    if not {"down", "up"} <= set(sides):
        there = sides.get("down") or sides.get("up") or sides["alpha"]
        raise CheckpointError(f"{found.name} holds {there[:80]!r} without its counterpart: fetch or copy it again.")
    down, up = (found.file.tensors[sides[side]] for side in ("down", "up"))
    rank = down.shape[0] if down.shape else 0
    made = _flat(up)[:1] + _flat(down)[1:]
    if not rank or _flat(up)[1:] != (rank,) or "I64" in (down.dtype, up.dtype):
        raise CheckpointError(f"{found.name} is damaged: the two tensors for {weight!r} do not fit. Fetch it again.")
    if made != (shape[0], math.prod(shape[1:])):
        raise CheckpointError(
            f"{found.name} is a LoRA for a prior of another width: {weight!r} is {' x '.join(map(str, made))} there"
            f" and {shape[0]} x {math.prod(shape[1:])} here. Give a LoRA for this prior, or with --prior the one that"
            " it was made for."
        )
    alpha = sides.get("alpha", "")
    if alpha and found.file.tensors[alpha].elements != 1:
        raise CheckpointError(f"{found.name} is damaged: {alpha[:80]!r} is not one number. Fetch it again.")
    return Pair(weight, sides["down"], sides["up"], _strength(found, weight, rank, bool(alpha)), alpha)


def _flat(tensor: Stored) -> tuple[int, ...]:
    return (tensor.shape[0], math.prod(tensor.shape[1:])) if len(tensor.shape) > 1 else tensor.shape


def _strength(found: Found, weight: str, rank: int, alpha: bool) -> float:
    """What `up @ down` is multiplied with: the scale, times peft's alpha / rank (1 where nothing says otherwise)."""
    if alpha:
        return found.scale / rank
    said = found.config.get("lora_alpha")
    for pattern, value in found.config.get("alpha_pattern", {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", weight.removesuffix(".weight")):
            said = value
            break
    if said is None:
        return found.scale
    return float(found.scale * said / (math.sqrt(rank) if found.config.get("use_rslora") else rank))


def _stranger(found: Found, key: str, side: str) -> CheckpointError:
    """Why a file with this tensor is not for the prior."""
    for start, does in _BESIDE.items():
        if key.startswith(start):
            return CheckpointError(
                f"{found.name} also {does} ({key[:80]!r}), and only the prior's weights can be changed here: train"
                " it without that, or save it with the prior's part alone."
            )
    for start, whose in _OTHERS.items():
        if key.removeprefix(PEFT).startswith(start):
            return CheckpointError(f"{found.name} is a LoRA for {whose} ({key[:80]!r}), not for a prior: {GIVE}.")
    if side:
        return CheckpointError(f"{found.name} changes {key[:80]!r}, which this prior does not have: {GIVE}.")
    if any(word in key for word in ("lora", "lokr", "hada", "dora")):
        return CheckpointError(
            f"{found.name} is an adapter of another kind ({key[:80]!r}); plain LoRA is read: give one of that kind."
        )
    return CheckpointError(f"{found.name} is no LoRA (it holds {key[:80]!r}): {GIVE}.")
