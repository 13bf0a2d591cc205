"""Continuing the training of an exported checkpoint: `python -m wuerst_demo train adopt` writes the state of a run from
it.

VQGAN, image encoder, text encoder and classifier count as finished; decoder and prior start their stages again from
their weights, as exact as the checkpoint's float16, with new optimisers.
"""

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
from transformers import CLIPTextModel

from wuerst_demo.errors import SetupError
from wuerst_demo.training import models
from wuerst_demo.training.config import TrainingConfig
from wuerst_demo.training.export import CLASSIFIER_FILE, TRAINING_FILE
from wuerst_demo.training.trainer import State, write_state

FINISHED_STEPS = sys.maxsize  #: Steps of a stage that is not trained further.


def adopt(config: TrainingConfig, checkpoint: Path) -> None:
    """Writes the states of a run into `config.folder` from `checkpoint`, as `export` writes it.

    Raises SetupError, before anything is written, if the folder is not empty, or if the checkpoint is incomplete or has
    other networks or things than `config`.
    """
    folder = config.folder
    if folder.exists() and any(folder.iterdir()):
        raise SetupError(f"{folder} holds a run already; choose another with --folder, or remove it.")
    if not (checkpoint / TRAINING_FILE).exists():
        raise SetupError(f"{checkpoint} has no {TRAINING_FILE}: only checkpoints of `train export` can be adopted.")
    try:
        _check_settings(config, checkpoint)
        states = _load_states(checkpoint)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise SetupError(f"{checkpoint} is incomplete or damaged: {error}") from error
    for stage, build in (("decoder", models.build_decoder), ("prior", models.build_prior)):
        with torch.device("meta"):  # shapes alone
            expected = {key: tensor.shape for key, tensor in build(config.scale).state_dict().items()}
        if expected != {key: tensor.shape for key, tensor in states[stage][stage].items()}:
            other = f"The {stage} of {checkpoint} has other layers than this program's"
            raise SetupError(f"{other}; train it with the version that made it.")
    shutil.copytree(checkpoint / "wuerstchen" / "tokenizer", folder / "tokenizer")
    for stage, state in states.items():
        step = 0 if stage in ("decoder", "prior") else FINISHED_STEPS
        write_state(folder / f"{stage}.pt", step, state, state)


def load_image_encoder(checkpoint: Path) -> models.ImageEncoder | None:
    """The checkpoint's image encoder on the CPU; None if it has none. Raises SetupError for a damaged file."""
    path = checkpoint / TRAINING_FILE
    if not path.exists():
        return None
    try:
        state = _module_weights(load_file(path), "encoder")
        encoder = models.ImageEncoder(state["layers.0.weight"].shape[0] // 8)
        encoder.load_state_dict(state)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise SetupError(f"{path} is damaged: {error}") from error
    return encoder.eval()


def _check_settings(config: TrainingConfig, checkpoint: Path) -> None:
    info = json.loads((checkpoint / "wuerstchen" / "demo.json").read_text())
    prior = json.loads((checkpoint / "wuerstchen-prior" / "prior" / "config.json").read_text())
    things, scale = info["things"], prior["c"] // 64
    if (things, scale) != (config.things, config.scale):
        raise SetupError(f"{checkpoint} knows {things} things at dial {scale}; use --things {things} --dial {scale}.")
    if info["knows"][: len(config.names)] != config.names:
        raise SetupError(f"{checkpoint} knows other things than this program; train it with the version that made it.")
    if (checkpoint / CLASSIFIER_FILE).exists():
        with safe_open(checkpoint / CLASSIFIER_FILE, "pt") as file:
            shape = tuple(file.get_slice("cells.weight").get_shape()[:2])
        if shape != (1 + config.things, 4 * config.classifier_width):
            raise SetupError(f"{checkpoint / CLASSIFIER_FILE} is not this checkpoint's; remove it to train a new one.")


def _load_states(checkpoint: Path) -> dict[str, dict[str, State]]:
    """Stage -> module name -> weights."""
    extra = load_file(checkpoint / TRAINING_FILE)

    def read(kind: Any, *path: str) -> State:
        state: State = kind.from_pretrained(checkpoint.joinpath(*path)).float().state_dict()
        return state

    encoder = {name: _module_weights(extra, name) for name in ("encoder", "sketcher", "namer")}
    decoder = {
        "decoder": read(WuerstchenDiffNeXt, "wuerstchen", "decoder"),
        "text": read(CLIPTextModel, "wuerstchen", "text_encoder"),
        "hints": _module_weights(extra, "drawing_hints"),
    }
    words = {
        "text": read(CLIPTextModel, "wuerstchen-prior", "text_encoder"),
        "hints": _module_weights(extra, "reading_hints"),
    }
    states = {
        "vqgan": {"vqgan": read(PaellaVQModel, "wuerstchen", "vqgan")},
        "encoder": encoder,
        "together": {**encoder, **decoder},
        "decoder": decoder,
        "words": words,
        "prior": {"prior": read(WuerstchenPrior, "wuerstchen-prior", "prior"), **words},
    }
    if (checkpoint / CLASSIFIER_FILE).exists():
        states["judge"] = {"judge": load_file(checkpoint / CLASSIFIER_FILE)}
    return states


def _module_weights(extra: State, name: str) -> State:
    """The weights of one module of TRAINING_FILE, as float32."""
    state = {key.removeprefix(f"{name}."): tensor for key, tensor in extra.items() if key.startswith(f"{name}.")}
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
