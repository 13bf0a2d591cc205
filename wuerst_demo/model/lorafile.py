"""LoRA files: which one is meant by what somebody wrote, and what it says of itself.

    style.safetensors                     a file here, at its full strength
    style.safetensors:0.6                 at another strength, its scale
    owner/name                            the one safetensors file of a repository on the Hub, or of a folder here
    owner/name/file.safetensors@v2:0.6    a certain one, of a certain revision

Safetensors only. Does not know the prior or torch; a file is read as far as its header.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wuerst_demo.errors import CheckpointError
from wuerst_demo.model.hub import Hub
from wuerst_demo.model.lora import PEFT, Found
from wuerst_demo.model.source import HUB
from wuerst_demo.model.tree import PICKLES
from wuerst_demo.model.weights import read_header
from wuerst_demo.paths import expanded

MOST = 8
"""LoRAs at once."""
LARGEST = 1000.0
"""What a scale may be, either way: far beyond what draws anything."""
_LONGEST_NAME = 200
_STRENGTHS = "adapter_config.json"
"""Where peft keeps, beside its file, how strong it is."""
_LONGEST_CONFIG = 2**20
_EXAMPLE = "a .safetensors file, or a Hub name such as owner/name or owner/name/file.safetensors"


def find(texts: Sequence[str], hub: Hub) -> list[Found]:
    """Finds (and for Hub names fetches) LoRAs: each a file, a folder or Hub name with one, with ":scale" behind it.

    Raises CheckpointError for everything that is wrong with a text or a file by itself.
    """
    if len(texts) > MOST:
        raise CheckpointError(f"There are {len(texts)} LoRAs; give at most {MOST}.")
    return [_found(text, hub) for text in texts]


def _scaled(text: str) -> tuple[str, float]:
    """What stands before the scale, and the scale. CheckpointError for one that is no number."""
    where, colon, tail = text.rpartition(":")
    if not colon or "/" in tail or "\\" in tail or tail.endswith(".safetensors"):
        return text, 1.0
    try:
        scale = float(tail)
    except ValueError:
        scale = math.nan
    if not abs(scale) <= LARGEST:
        raise CheckpointError(
            f"The scale of a LoRA is a number from -{LARGEST:g} to {LARGEST:g}, not {tail[:40]!r}: write"
            f" {where[:_LONGEST_NAME]}:0.8, or leave it out for 1."
        )
    return where, scale


def _found(text: str, hub: Hub) -> Found:
    where, scale = _scaled(text.strip())
    if not where or not where.isprintable() or len(where) > 1000:
        raise CheckpointError(f"--lora is empty or unreadable: give {_EXAMPLE}.")
    try:
        path = expanded(where)
        if path.is_file():
            _check_kind(path.name, where)
            return _read(path.name, path, scale)
        if path.is_dir():
            chosen = _chosen((each.name for each in path.iterdir() if each.is_file()), where)
            return _read(path.resolve().name, path / chosen, scale)
    except ValueError as error:
        raise CheckpointError(f"--lora must be {error}.") from error
    except OSError as error:
        raise CheckpointError(f"{where[:200]} cannot be opened ({error.strerror}): give another LoRA.") from error
    repository, file, revision = _on_hub(where)
    if file:
        _check_kind(file, where)
    listed = hub.files(repository, revision)
    file = file or _chosen(listed, repository)
    if file not in listed:
        raise CheckpointError(f"{repository} has no file {file}: see its files on huggingface.co/{repository}.")
    beside = file.rpartition("/")[0] + "/" + _STRENGTHS
    folder = hub.fetch(repository, revision, [each for each in (file, beside.lstrip("/")) if each in listed])
    commit = folder.name if re.fullmatch("[0-9a-f]{40}", folder.name) else ""
    return _read(f"{repository}/{file}", folder / file, scale, commit)


def _on_hub(where: str) -> tuple[str, str, str | None]:
    """Repository, file in it ("" for the only one) and revision that "owner/name/file@revision" means."""
    name, at, revision = where.partition("@")
    pieces = name.split("/", 2)
    hub = HUB.fullmatch("/".join(pieces[:2]) + at + revision)
    file = pieces[2] if pieces[2:] else ""
    local = Path(pieces[0]).is_dir() or (not file and name.endswith((".safetensors", *PICKLES)))
    if hub is None or local or "--" in where or ".." in where.split("/") or file.startswith("/"):
        raise CheckpointError(f"There is no LoRA {where[:200]} here: check the spelling; give {_EXAMPLE}.")
    return hub["repository"], file, hub["revision"]


def _chosen(names: Iterable[str], where: str) -> str:
    """The one safetensors file: of those at the root, or else of all. Raises CheckpointError if that is not one."""
    listed = sorted(names)
    every = [name for name in listed if name.endswith(".safetensors")]
    files = [name for name in every if "/" not in name] or every
    if len(files) == 1:
        return files[0]
    if files:
        raise CheckpointError(f"{where} has {len(files)} safetensors files: say which, as in {where}/{files[0]}.")
    for name in listed:
        if name.endswith(PICKLES):
            _check_kind(name, f"{where}/{name}")
    raise CheckpointError(f"{where} has no safetensors file: give {_EXAMPLE}.")


def _check_kind(name: str, where: str) -> None:
    """Raises CheckpointError for a file of another kind than .safetensors."""
    if name.endswith(PICKLES):
        raise CheckpointError(
            f"{where} is stored as a pickle, which can run code when it is opened: convert it to .safetensors, or give"
            " a LoRA that is."
        )
    if not name.endswith(".safetensors"):
        raise CheckpointError(f"{where} is no .safetensors file: give {_EXAMPLE}.")


def _read(name: str, path: Path, scale: float, revision: str = "") -> Found:
    file = read_header(path)
    told, beside = file.metadata.get("lora_adapter_metadata"), path.parent / _STRENGTHS
    config: Any = {}
    try:
        if told is not None:
            config = {key.removeprefix("prior."): value for key, value in json.loads(told[:_LONGEST_CONFIG]).items()}
        elif beside.is_file() and any(key.startswith(PEFT) for key in file.tensors):
            config = json.loads(beside.read_bytes()[:_LONGEST_CONFIG])
        checked = _checked(config)
    except (ValueError, TypeError, AttributeError, OSError, RecursionError, re.error) as error:
        raise CheckpointError(f"{name} says in no readable way how strong it is: fetch or copy it again.") from error
    return Found(name[-_LONGEST_NAME:], scale, file, checked, revision)


def _checked(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What peft's configuration says of strengths. ValueError where it is not as peft writes it."""
    alpha, patterns = config.get("lora_alpha"), config.get("alpha_pattern") or {}
    for number in (alpha, *patterns.values()):
        if number is not None and not (isinstance(number, int | float) and math.isfinite(number)):
            raise ValueError("an alpha that is no number")
    for pattern in patterns:
        re.compile(pattern)
    return {"lora_alpha": alpha, "alpha_pattern": patterns, "use_rslora": config.get("use_rslora") is True}
