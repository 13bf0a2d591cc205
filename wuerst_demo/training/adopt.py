"""`python -m wuerst_demo train adopt`: a run takes up an exported checkpoint as if it had trained it itself, so that
whoever has the checkpoint alone can train it further.

VQGAN, image encoder, words and judge are done then, whatever the effort; decoder and prior begin their stages anew,
from the weights they have. Optimisers start fresh. Weights are as exact as the checkpoint's float16.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextModel

from wuerst_demo.errors import SetupError
from wuerst_demo.training.export import JUDGE, TRAINING
from wuerst_demo.training.loop import begin_with
from wuerst_demo.training.networks import ImageEncoder, decoder, prior
from wuerst_demo.training.recipe import Recipe

State = dict[str, Tensor]
DONE = sys.maxsize
"""Steps of a stage that is not to be trained any further."""


def adopt(recipe: Recipe, checkpoint: Path) -> None:
    """Writes the states of a run in `recipe.folder` from `checkpoint`, as `export` wrote it.

    Raises SetupError where the folder is not empty, the checkpoint is not complete, or its networks or things are not
    those of the recipe; nothing is written then.
    """
    folder = recipe.folder
    if folder.exists() and any(folder.iterdir()):
        raise SetupError(f"{folder} holds a run already; name another one with --folder, or remove it.")
    if not (checkpoint / TRAINING).exists():
        raise SetupError(f"{checkpoint} has no {TRAINING}: only checkpoints that `train export` wrote can be adopted.")
    try:
        _check(recipe, checkpoint)
        states = _states(checkpoint)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise SetupError(f"{checkpoint} is not complete, or damaged: {error}") from error
    _compare(recipe, checkpoint, states)
    shutil.copytree(checkpoint / "wuerstchen" / "tokenizer", folder / "tokenizer")
    for stage, state in states.items():
        begin_with(folder, stage, 0 if stage in ("decoder", "prior") else DONE, state)


def image_encoder(checkpoint: Path) -> ImageEncoder | None:
    """The image encoder that `export` wrote beside a checkpoint, on the CPU; None where there is none.

    Raises SetupError for a damaged file.
    """
    if not (checkpoint / TRAINING).exists():
        return None
    try:
        state = _part(load_file(checkpoint / TRAINING), "encoder")
        encoder = ImageEncoder(state["layers.0.weight"].shape[0] // 8)
        encoder.load_state_dict(state)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise SetupError(f"{checkpoint / TRAINING} is damaged: {error}") from error
    return encoder.eval()


def _check(recipe: Recipe, checkpoint: Path) -> None:
    """Raises SetupError for a checkpoint of other sizes or things than the recipe's."""
    demo = json.loads((checkpoint / "wuerstchen" / "demo.json").read_text())
    things = demo["things"]
    dial = json.loads((checkpoint / "wuerstchen-prior" / "prior" / "config.json").read_text())["c"] // 64
    if (things, dial) != (recipe.things, recipe.dial):
        raise SetupError(f"{checkpoint} knows {things} things at dial {dial}; say --things {things} --dial {dial}.")
    names = [name for thing in recipe.known for name in thing.names]
    if demo["knows"][: len(names)] != names:
        raise SetupError(f"{checkpoint} knows other things than this program; train it with the one that made it.")
    if (checkpoint / JUDGE).exists():
        with safe_open(checkpoint / JUDGE, "pt") as judge:
            shape = tuple(judge.get_slice("cells.weight").get_shape()[:2])
        if shape != (1 + recipe.things, 4 * recipe.judge_width):
            raise SetupError(f"{checkpoint / JUDGE} is not this checkpoint's; remove it, and one is trained.")


def _compare(recipe: Recipe, checkpoint: Path, states: dict[str, dict[str, State]]) -> None:
    """Raises SetupError where decoder or prior are built otherwise than the recipe's."""
    for stage, build in (("decoder", decoder), ("prior", prior)):
        with torch.device("meta"):  # shapes alone
            ours = {key: tensor.shape for key, tensor in build(recipe.dial).state_dict().items()}
        if ours != {key: tensor.shape for key, tensor in states[stage][stage].items()}:
            other = f"{checkpoint}'s {stage} has other layers than this program's"
            raise SetupError(f"{other}; train it with the one that made it.")


def _states(checkpoint: Path) -> dict[str, dict[str, State]]:
    """Stage -> module -> its weights."""
    drawing, composing = checkpoint / "wuerstchen", checkpoint / "wuerstchen-prior"
    aside = load_file(checkpoint / TRAINING)

    def read(kind: Any, part: Path) -> State:
        state: State = kind.from_pretrained(part).float().state_dict()
        return state

    seeing = {name: _part(aside, name) for name in ("encoder", "sketcher", "namer")}
    stage_b = {
        "decoder": read(WuerstchenDiffNeXt, drawing / "decoder"),
        "text": read(CLIPTextModel, drawing / "text_encoder"),
        "hints": _part(aside, "drawing_hints"),
    }
    reading = {"text": read(CLIPTextModel, composing / "text_encoder"), "hints": _part(aside, "reading_hints")}
    judge = {"judge": {"judge": load_file(checkpoint / JUDGE)}} if (checkpoint / JUDGE).exists() else {}
    return {
        **judge,
        "vqgan": {"vqgan": read(PaellaVQModel, drawing / "vqgan")},
        "encoder": seeing,
        "together": {**seeing, **stage_b},
        "decoder": stage_b,
        "words": reading,
        "prior": {"prior": read(WuerstchenPrior, composing / "prior"), **reading},
    }


def _part(aside: State, name: str) -> State:
    """One module's weights from the file of what only training reads."""
    found = {key.removeprefix(f"{name}."): tensor for key, tensor in aside.items() if key.startswith(f"{name}.")}
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in found.items()}
