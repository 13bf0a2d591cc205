"""What `tools.fuzz` reads: valid examples of each format from outside, and the program's own readers of it."""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from tools.fuzz_images import list_image_targets
from tools.fuzz_target import FILE_BOUND_S, Target
from wuerst_demo.checkpoints.lora_file import find_loras
from wuerst_demo.checkpoints.lora_mapping import PEFT_PREFIX, match_lora
from wuerst_demo.checkpoints.network_config import DECODER, DECODER_TEXT_ENCODER, PRIOR, VQGAN
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.checkpoints.safetensors_header import read_header
from wuerst_demo.checkpoints.source import COCKTAIL_FOLDER, parse_prior_from_card, parse_source
from wuerst_demo.errors import CheckpointError
from wuerst_demo.fields import parse_value
from wuerst_demo.prompts.parser import parse_prompt
from wuerst_demo.request import DESCRIPTIONS, Limits
from wuerst_demo.settings import Settings
from wuerst_demo.web.compare.axes import list_axes, parse_axis
from wuerst_demo.web.generate.restore import restore_from_draft
from wuerst_demo.web.middleware.call_check import CallCheckMiddleware
from wuerst_demo.web.shared.share_link import decode_link

_CHECKPOINT_FILES = (
    "wuerstchen/model_index.json",
    "wuerstchen/demo.json",
    "wuerstchen/decoder/config.json",
    "wuerstchen/vqgan/config.json",
    "wuerstchen/text_encoder/config.json",
    "wuerstchen/scheduler/scheduler_config.json",
    "wuerstchen-prior/model_index.json",
    "wuerstchen-prior/prior/config.json",
)
_PROMPTS = (
    "a (red)1.5 cat, (a dog)0.5++",
    '("a cat", "a hat").blend(0.7, 0.3)',
    '("a", "b").and()',
    "[a:b:0.5] {x|y} ((z)) (q:1.2)",
    "c++ <lora:x:0.7> BREAK __w__ d-- \\(e\\)",
)
_CARD = "---\nlicense: mit\nprior:\n- warp-ai/wuerstchen-prior\ntags: [a, b]\n---\n\n# Model"


_CALLS = (
    {"data": ["a cat", "", True, 512], "fn_index": 0, "session_hash": "a1", "event_data": None, "trigger_id": 3},
    {"data": ["a cat"], "batched": False, "request": {"headers": {}}},
)
_FUNCTION = SimpleNamespace(
    api_name="generate", api_visibility="public", queue=True, cancels=[], inputs=[SimpleNamespace(skip_api=False)]
)
_APP = SimpleNamespace(auth=None, get_blocks=lambda: SimpleNamespace(fns={0: _FUNCTION}))


class EmptyHub:
    """A Hub without repositories."""

    def files(self, repository: str, revision: str | None) -> tuple[str, ...]:
        raise CheckpointError(f"There is no {repository} on this Hub.")

    def fetch(self, repository: str, revision: str | None, names: Sequence[str]) -> Path:
        raise CheckpointError(f"There is no {repository} on this Hub.")


def list_targets(folder: Path) -> dict[str, Target]:
    """Every reader by name; files are written into the folder."""
    return {**_text_targets(), **list_image_targets(), **_checkpoint_targets(folder)}


def _text_of(data: bytes) -> str:
    """The input as text. What is no UTF-8 becomes lone surrogates, as on a command line and in JSON."""
    return data.decode("utf-8", "surrogateescape")


def _read_body(data: bytes) -> None:
    """Check a body as `CallCheckMiddleware` does, for each kind of call."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": data}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message.get("status", 0) >= 500:
            raise AssertionError("an internal error")

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if body := (await receive())["body"]:
            json.loads(body)

    for route in ("queue/join", "call/generate", "mcp/"):
        scope = {"type": "http", "method": "POST", "path": f"/gradio_api/{route}", "headers": [], "app": _APP}
        with suppress(StopIteration):
            CallCheckMiddleware(answer)(scope, receive, send).send(None)


def _text_targets() -> dict[str, Target]:
    limits = Limits()
    names = tuple(DESCRIPTIONS)
    request = {"prompt": "a cat", "seed": -1, "width": 512, "prior_guidance": 2.5, "weighting": True}
    link = b"prompt=a%20cat&seed=7&width=512&weighting=off&prior_guidance=2.5&prior_schedule=linear&__theme=dark"
    options = b"--model\nowner/name@v2\n--lora\nstyle.safetensors:0.6,owner/name\n--port\n8000\n--device\ncuda:0"

    def read_request(data: bytes) -> None:
        values = None
        with suppress(ValueError, RecursionError):  # what is no JSON is the target "body"
            values = json.loads(data)
        if isinstance(values, dict):
            limits.request(values)
        if isinstance(values, list):
            limits.request(dict(zip(names, values, strict=False)))

    def read_value(data: bytes) -> None:
        name, _, text = _text_of(data).partition("=")
        if description := DESCRIPTIONS.get(name):
            limits.request({name: parse_value(description, text)})

    def read_options(data: bytes) -> None:
        words = _text_of(data).split("\n")
        Settings.read([word for word in words if word not in ("-h", "--help")], {})

    def read_axis(data: bytes) -> None:
        name, _, typed = _text_of(data).partition("=")
        if name in list_axes(limits):
            parse_axis(limits, name, typed, typed[:2000])

    return {
        "request": Target(
            [json.dumps(request).encode(), json.dumps(["a", "", True, 512, 512, 1, -1]).encode()], read_request, names
        ),
        "body": Target([json.dumps(each).encode() for each in _CALLS], _read_body, ("data", "fn_index", "event_data")),
        "draft": Target(
            [json.dumps(request | {"checkpoint": "c"}).encode()],
            lambda data: restore_from_draft(_text_of(data), limits, "c"),
            names,
        ),
        "value": Target([f"{name}=512".encode() for name in names], read_value, ("on", "linear", "two-part")),
        "link": Target(
            [link], lambda data: decode_link(dict(parse_qsl(_text_of(data), keep_blank_values=True)), limits), names
        ),
        "prompt": Target(
            [each.encode() for each in _PROMPTS],
            lambda data: [parse_prompt(_text_of(data)[:2000], weighting) for weighting in (True, False)],
            (*'()[]{}+-:,.\\"', ".blend(", ".and(", ")1.5", "++", "--", ")-0.5"),
        ),
        "axis": Target(
            [f"{name}={each}".encode() for name in list_axes(limits) for each in ("1, 2, 3", "10-30 by 5", "a {b|c}")],
            read_axis,
            ("..", " by ", "{", "|", "}", ",", "512x512"),
        ),
        "options": Target([options], read_options, ("--compile", "--auth", "--lora=", "--port")),
        "source": Target(
            [b"warp-ai/wuerstchen@main", b"./folder", b"~/x"],
            lambda data: parse_source(_text_of(data)),
            ("..", "@", "/"),
        ),
    }


def _checkpoint_targets(folder: Path) -> dict[str, Target]:
    hub = EmptyHub()
    prior = resolve_checkpoint(None).prior.config
    layer, width = "blocks.2.attention.to_q", prior["c"]
    tensor = {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}
    down = {"dtype": "F16", "shape": [1, width], "data_offsets": [0, 2 * width]}
    up = {"dtype": "F16", "shape": [width, 1], "data_offsets": [2 * width, 4 * width]}
    kohya = {f"prior.{layer}.lora.down.weight": down, f"prior.{layer}.lora.up.weight": up}
    peft = {f"{PEFT_PREFIX}{layer}.lora_A.weight": down, f"{PEFT_PREFIX}{layer}.lora_B.weight": up}
    config = {"r": 1, "lora_alpha": 6, "alpha_pattern": {r"^blocks.*to_q$": 12, "to_k": 3.5}, "use_rslora": True}
    own = {"__metadata__": {"format": "pt", "lora_adapter_metadata": json.dumps(config)}, **kohya}
    lora, beside = folder / "lora.safetensors", folder / "peft" / "adapter_config.json"
    beside.parent.mkdir()
    (beside.parent / "adapter_model.safetensors").write_bytes(_safetensors(json.dumps(peft).encode(), 4 * width))

    def read_lora(path: Path) -> None:
        for each in find_loras([str(path)], hub):
            match_lora(each, prior)

    def read_header_of(data: bytes) -> None:
        lora.write_bytes(_safetensors(data, 4 * width))
        read_lora(lora)

    def read_peft_config(data: bytes) -> None:
        beside.write_bytes(data)
        read_lora(beside.parent)

    def read_whole(data: bytes) -> None:
        lora.write_bytes(data)
        read_header(lora)

    changed = {name: _link_checkpoint(folder / str(k), name) for k, name in enumerate(_CHECKPOINT_FILES)}

    def read_checkpoint(data: bytes) -> None:
        name, _, content = data.partition(b"\0")
        path = changed.get(_text_of(name))
        if path is not None:
            path.write_bytes(content)
            resolve_checkpoint(str(_decoder_folder(path)), hub=hub)

    files = [
        name.encode() + b"\0" + (COCKTAIL_FOLDER.parent / name).read_bytes()
        for name in _CHECKPOINT_FILES
        if (COCKTAIL_FOLDER.parent / name).is_file()
    ]
    keys = {key for kind in (PRIOR, DECODER, VQGAN, DECODER_TEXT_ENCODER) for key in kind.defaults}
    return {
        "safetensors": Target(
            [_safetensors(json.dumps({"a": tensor}).encode(), 64)], read_whole, ("shape", "dtype"), FILE_BOUND_S
        ),
        "lora": Target(
            [json.dumps(each).encode() for each in (own, kohya, peft)],
            read_header_of,
            ("data_offsets", "shape", "lora_unet_", "lora_prior_unet_", ".alpha", "lora_A", "I64", "__metadata__"),
            FILE_BOUND_S,
        ),
        "peft": Target([json.dumps(config).encode()], read_peft_config, ("(a+)+", ".*", "[", "^"), FILE_BOUND_S),
        "card": Target(
            [_CARD.encode(), b"---\nprior: a/b\n---\n"],
            lambda data: parse_prior_from_card(data.decode("utf-8", "replace"), "card"),
            ("!!int", "&a ", "*a", "<<: ", "!!python/name:os", "--", "prior:", "- ", "|", "---"),
            FILE_BOUND_S,
        ),
        "checkpoint": Target(files, read_checkpoint, tuple(sorted(keys | set(DESCRIPTIONS))), FILE_BOUND_S),
    }


def _safetensors(header: bytes, data_bytes: int) -> bytes:
    return len(header).to_bytes(8, "little") + header + bytes(data_bytes)


def _link_checkpoint(folder: Path, name: str) -> Path:
    """The path of one file in a copy of the cocktail whose other files are links."""
    for source in (*COCKTAIL_FOLDER.rglob("*"), *(COCKTAIL_FOLDER.parent / "wuerstchen-prior").rglob("*")):
        copy = folder / source.relative_to(COCKTAIL_FOLDER.parent)
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source != COCKTAIL_FOLDER.parent / name:
                os.symlink(source, copy)
    return folder / name


def _decoder_folder(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.name.startswith("wuerstchen")).parent / "wuerstchen"
