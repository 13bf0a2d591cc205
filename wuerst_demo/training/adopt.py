"""`python -m wuerst_demo train adopt`: a run takes up an exported checkpoint as if it had trained it itself, so that
whoever has the checkpoint alone can train it further.

VQGAN, image encoder and words are done then; decoder and prior begin their stages anew, from the weights they have.
Optimisers start fresh. Weights are as exact as the checkpoint's float16.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextModel

from wuerst_demo.errors import SetupError
from wuerst_demo.training.export import TRAINING
from wuerst_demo.training.loop import begin_with
from wuerst_demo.training.recipe import Recipe

State = dict[str, Tensor]
STAGES = ("vqgan", "encoder", "together", "decoder", "words", "prior")


def adopt(recipe: Recipe, checkpoint: Path) -> None:
    """Writes the states of a run in `recipe.folder` from `checkpoint`, as `export` wrote it.

    Raises SetupError where the folder holds a run already, the checkpoint cannot be trained further, or its networks or
    things are not those of the recipe.
    """
    folder, drawing, composing = recipe.folder, checkpoint / "wuerstchen", checkpoint / "wuerstchen-prior"
    if any((folder / f"{stage}.pt").exists() for stage in STAGES) or (folder / "tokenizer").exists():
        raise SetupError(f"{folder} holds a run already; name another one with --folder, or remove it.")
    if not (checkpoint / TRAINING).exists():
        raise SetupError(f"{checkpoint} has no {TRAINING}: only checkpoints that `train export` wrote can be adopted.")
    things = json.loads((drawing / "demo.json").read_text())["things"]
    dial = json.loads((composing / "prior" / "config.json").read_text())["c"] // 64
    if (things, dial) != (recipe.things, recipe.dial):
        raise SetupError(f"{checkpoint} knows {things} things at dial {dial}; say --things {things} --dial {dial}.")

    def read(kind: Any, part: Path) -> State:
        state: State = kind.from_pretrained(part).float().state_dict()
        return state

    aside = load_file(checkpoint / TRAINING)

    def part(name: str) -> State:
        found = {key.removeprefix(f"{name}."): tensor for key, tensor in aside.items() if key.startswith(f"{name}.")}
        return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in found.items()}

    shutil.copytree(drawing / "tokenizer", folder / "tokenizer")
    seeing = {name: part(name) for name in ("encoder", "sketcher", "namer")}
    stage_b = {
        "decoder": read(WuerstchenDiffNeXt, drawing / "decoder"),
        "text": read(CLIPTextModel, drawing / "text_encoder"),
        "hints": part("drawing_hints"),
    }
    reading = {"text": read(CLIPTextModel, composing / "text_encoder"), "hints": part("reading_hints")}
    begin_with(folder, "vqgan", recipe.vqgan_steps, {"vqgan": read(PaellaVQModel, drawing / "vqgan")})
    begin_with(folder, "encoder", recipe.encoder_steps, seeing)
    begin_with(folder, "together", recipe.together_steps, {**seeing, **stage_b})
    begin_with(folder, "decoder", 0, stage_b)
    begin_with(folder, "words", recipe.words_steps, reading)
    begin_with(folder, "prior", 0, {"prior": read(WuerstchenPrior, composing / "prior"), **reading})
