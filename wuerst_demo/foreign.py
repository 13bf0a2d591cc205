"""What other programs write into their pictures, and the form that they read: as far as a request has a place for it.

`parameters` is the form of the A1111 web UI and of the model sites, read and written here; ComfyUI's `prompt` is a
graph, of which the usual nodes are understood. What has no place in a request is named in `Found.unread`.

Does not know files.
"""

from __future__ import annotations

import json
import re
from typing import Any

from wuerst_demo import __version__
from wuerst_demo.errors import MetadataError
from wuerst_demo.found import Found
from wuerst_demo.request import DESCRIPTIONS, Request, from_text

# The form of `parameters`: the prompt; "Negative prompt: " and the negative prompt; one line of "Name: value" pairs,
# where a value that holds a comma, a colon or a line break is quoted as JSON.

_NEGATIVE = "Negative prompt:"
_OWN_FORM = (
    "The picture says its settings in a form of another program's own, which is not understood here;"
    " copy the prompt by hand."
)
_PAIR = re.compile(r'(\w[\w /-]{0,60}):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_NUMBERS = {
    "Steps": "prior_steps",
    "CFG scale": "prior_guidance",
    "Seed": "seed",
    "Decoder steps": "decoder_steps",
    "Decoder CFG scale": "decoder_guidance",
}
_SCHEDULE = "Schedule type"
_WEIGHTING = "Prompt weighting"


def parameters(request: Request, checkpoint: str) -> str:
    """A request in the form of `parameters`."""
    pairs: dict[str, object] = {
        "Steps": request.prior_steps,
        "Sampler": "DDPM Wuerstchen",
        _SCHEDULE: request.prior_schedule,
        "CFG scale": f"{request.prior_guidance:g}",
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Model": checkpoint,
        "Decoder steps": request.decoder_steps,
        "Decoder CFG scale": f"{request.decoder_guidance:g}",
        _WEIGHTING: "on" if request.weighting else "off",
        "Version": f"wuerst_demo {__version__}",
    }
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"{_NEGATIVE} {request.negative_prompt}")
    lines.append(", ".join(f"{name}: {_quoted(str(value))}" for name, value in pairs.items() if value != ""))
    return "\n".join(lines)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(c in value for c in ',:\n"') else value


def from_parameters(text: str) -> Found:
    """What a text of that form says; a text without settings is a prompt.

    Raises MetadataError for a JSON object, which some programs write there in forms of their own.
    """
    text = text.replace("\r\n", "\n").strip()
    if _is_object(text):
        raise MetadataError(_OWN_FORM)
    body, _, last = text.rpartition("\n")
    pairs = [(name, _unquoted(value)) for name, value in _PAIR.findall(last)]
    if not {"Steps", "Seed"} & {name for name, _ in pairs}:
        # No settings, but a prompt alone, whose last line happens to hold a colon.
        body, pairs = text, []
    prompt, negative, negative_prompt = ("\n" + body).partition("\n" + _NEGATIVE)
    values: dict[str, object] = {"prompt": prompt[1:]}
    if negative:
        values["negative_prompt"] = negative_prompt.removeprefix(" ")
    unread: list[str] = []
    said: dict[str, str] = {}
    for name, value in pairs:
        size = re.fullmatch(r"(\d{1,6})x(\d{1,6})", value)
        if name in _NUMBERS:
            values[_NUMBERS[name]] = from_text(DESCRIPTIONS[_NUMBERS[name]], value)
        elif name == "Size" and size:
            values |= {"width": int(size[1]), "height": int(size[2])}
        elif name == _SCHEDULE and value in ("two-part", "linear"):
            values["prior_schedule"] = value
        elif name == _WEIGHTING:
            values["weighting"] = from_text(DESCRIPTIONS["weighting"], value)
        elif name in ("Model", "Version"):
            said[name] = value
        else:
            unread.append(name)
    return Found(values, said.get("Model", ""), program=said.get("Version", ""), unread=tuple(unread))


def _is_object(text: str) -> bool:
    if not text.startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _unquoted(value: str) -> str:
    value = value.strip()
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            return value
    return value


# ComfyUI's form: a JSON object of nodes by id, each with its class and its inputs; an input that comes from another
# node is a list of that node's id and the number of its output.

_SAMPLERS = ("KSampler", "KSamplerAdvanced")
_SAMPLED = {"seed": "seed", "noise_seed": "seed", "steps": "prior_steps", "cfg": "prior_guidance"}
_TEXTS = {"positive": "prompt", "negative": "negative_prompt"}
_NOT_UNDERSTOOD = (
    "The picture was made with ComfyUI, and its graph says the settings in a way that is not understood here;"
    " copy the prompt by hand."
)


def from_graph(text: str) -> Found:
    """What a graph of ComfyUI says, as far as its first sampler, the texts, the size and the checkpoint beside it.

    Raises MetadataError where none of them is understood.
    """
    try:
        graph = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MetadataError(_NOT_UNDERSTOOD) from error
    nodes = graph if isinstance(graph, dict) else {}
    sampler = next((_inputs(node) for node in nodes.values() if _class(node) in _SAMPLERS), {})
    values: dict[str, object] = {}
    unread: list[str] = []
    for name, value in sampler.items():
        source = nodes.get(value[0]) if isinstance(value, list) and value and isinstance(value[0], str) else None
        inputs = _inputs(source)
        if name in _SAMPLED and isinstance(value, int | float):
            values[_SAMPLED[name]] = value
        elif name in _TEXTS and isinstance(inputs.get("text"), str):
            values[_TEXTS[name]] = inputs["text"]
        elif name == "latent_image" and {"width", "height"} <= set(inputs):
            values |= {side: inputs[side] for side in ("width", "height")}
        elif name != "model":
            unread.append(name)
    if not values:
        raise MetadataError(_NOT_UNDERSTOOD)
    checkpoints = (_inputs(node).get("ckpt_name") for node in nodes.values())
    checkpoint = next((each for each in checkpoints if isinstance(each, str)), "")
    return Found(values, checkpoint, program="ComfyUI", unread=tuple(unread))


def _class(node: object) -> object:
    return node.get("class_type") if isinstance(node, dict) else None


def _inputs(node: object) -> dict[str, Any]:
    inputs = node.get("inputs") if isinstance(node, dict) else None
    return inputs if isinstance(inputs, dict) else {}
