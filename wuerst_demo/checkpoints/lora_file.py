"""LoRA files: parsing of the option, lookup on disk or on the Hub, header and peft config.

style.safetensors                     a local file, at scale 1
style.safetensors:0.6                 at scale 0.6
owner/name                            the only safetensors file of a Hub repository, or of a local folder
owner/name/file.safetensors@v2:0.6    one file, of one revision
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wuerst_demo.checkpoints.download_plan import read_small_file
from wuerst_demo.checkpoints.hub import Hub
from wuerst_demo.checkpoints.json_reader import parse_json
from wuerst_demo.checkpoints.lora_mapping import PEFT_PREFIX, LoraCandidate, ModulePattern
from wuerst_demo.checkpoints.repository import PICKLE_SUFFIXES
from wuerst_demo.checkpoints.safetensors_header import read_header
from wuerst_demo.checkpoints.source import MAX_SOURCE_CHARS, find_snapshot, parse_hub_name
from wuerst_demo.errors import CheckpointError
from wuerst_demo.paths import expand_user

MAX_LORAS = 8
MAX_LORA_SCALE = 1000.0
"""Largest absolute value, far above useful scales."""
_MAX_NAME_CHARS = 200
_PEFT_CONFIG_FILE = "adapter_config.json"
"""peft's config file, beside the LoRA."""
_MAX_PATTERNS = 1000
_SUFFIX = ".safetensors"
_EXAMPLE_LORA = "a .safetensors file, or a Hub name such as owner/name or owner/name/file.safetensors"


def find_loras(texts: Sequence[str], hub: Hub) -> list[LoraCandidate]:
    """LoRAs for the values of --lora, fetched where needed; they are matched with a prior later.

    Raises CheckpointError for an invalid value, and a missing or damaged file.
    """
    if len(texts) > MAX_LORAS:
        raise CheckpointError(f"There are {len(texts)} LoRAs; give at most {MAX_LORAS}.")
    return [_find_lora(text, hub) for text in texts]


def pin_lora(text: str, revision: str) -> str:
    """A valid value of --lora with this commit of its repository; a local file, which has none, as it is."""
    where, scale = _split_scale(text.strip())
    return f"{where.partition('@')[0]}@{revision}:{scale!r}" if revision else text


def _split_scale(text: str) -> tuple[str, float]:
    """The text before ":scale", and the scale, 1 if there is none. Raises CheckpointError."""
    where, colon, tail = text.rpartition(":")
    if not colon or "/" in tail or "\\" in tail or tail.lower().endswith(_SUFFIX):
        return text, 1.0
    try:
        scale = float(tail)
    except ValueError:
        scale = math.nan
    if not abs(scale) <= MAX_LORA_SCALE:
        raise CheckpointError(
            f"The scale of a LoRA is a number from -{MAX_LORA_SCALE:g} to {MAX_LORA_SCALE:g}, not {tail[:40]!r}: write"
            f" {where[:_MAX_NAME_CHARS]}:0.8, or leave it out for 1."
        )
    return where, scale


def _find_lora(text: str, hub: Hub) -> LoraCandidate:
    where, scale = _split_scale(text.strip())
    if not where or not where.isprintable() or len(where) > MAX_SOURCE_CHARS:
        raise CheckpointError(f"--lora is empty or unreadable: give {_EXAMPLE_LORA}.")
    try:
        path = expand_user(where)
        if path.is_file():
            _check_file_type(path.name, where)
            return _read_lora(path.name, path, scale)
        if path.is_dir():
            folder = find_snapshot(path)
            file = _choose_file((entry.name for entry in folder.iterdir() if entry.is_file()), where)
            return _read_lora(path.resolve().name, folder / file, scale)
    except ValueError as error:
        raise CheckpointError(f"--lora must be {error}.") from error
    except OSError as error:
        raise CheckpointError(
            f"{where[:_MAX_NAME_CHARS]} cannot be opened ({error.strerror}): give another LoRA."
        ) from error
    repository, file, revision = _parse_hub_lora(where)
    if file:
        _check_file_type(file, where)
    listed = hub.files(repository, revision)
    file = file or _choose_file(listed, repository)
    if file not in listed:
        raise CheckpointError(f"{repository} has no file {file}: see its files on huggingface.co/{repository}.")
    config_file = "/".join([*file.split("/")[:-1], _PEFT_CONFIG_FILE])
    folder = hub.fetch(repository, revision, [name for name in (file, config_file) if name in listed])
    commit = folder.name if re.fullmatch("[0-9a-f]{40}", folder.name) else ""
    return _read_lora(f"{repository}/{file}", folder / file, scale, commit)


def _parse_hub_lora(where: str) -> tuple[str, str, str | None]:
    """Repository, file ("" for the only one) and revision of "owner/name/file@revision". Raises CheckpointError."""
    name, at, revision = where.partition("@")
    parts = name.split("/", 2)
    hub = parse_hub_name("/".join(parts[:2]) + at + revision)
    file = parts[2] if parts[2:] else ""
    local = Path(parts[0]).is_dir() or (not file and name.lower().endswith((_SUFFIX, *PICKLE_SUFFIXES)))
    if hub is None or local or ".." in where.split("/") or file.startswith("/"):
        raise CheckpointError(
            f"There is no LoRA {where[:_MAX_NAME_CHARS]} here: check the spelling; give {_EXAMPLE_LORA}."
        )
    return hub.repository, file, hub.revision


def _choose_file(names: Iterable[str], where: str) -> str:
    """The only safetensors file at the root, else in all folders. Raises CheckpointError unless there is just one."""
    listed = sorted(names)
    in_all_folders = [name for name in listed if name.lower().endswith(_SUFFIX)]
    files = [name for name in in_all_folders if "/" not in name] or in_all_folders
    if len(files) == 1:
        return files[0]
    if files:
        raise CheckpointError(f"{where} has {len(files)} safetensors files: name one, as in {where}/{files[0]}.")
    for name in listed:
        if name.endswith(PICKLE_SUFFIXES):
            _check_file_type(name, f"{where}/{name}")
    raise CheckpointError(f"{where} has no safetensors file: give {_EXAMPLE_LORA}.")


def _check_file_type(name: str, where: str) -> None:
    """Raise CheckpointError for a file other than .safetensors."""
    if name.lower().endswith(PICKLE_SUFFIXES):
        raise CheckpointError(
            f"{where} is stored as a pickle, which can run code when it is opened: convert it to .safetensors, or give"
            " a LoRA that is."
        )
    if not name.lower().endswith(_SUFFIX):
        raise CheckpointError(f"{where} is not a .safetensors file: give {_EXAMPLE_LORA}.")


def _read_lora(name: str, path: Path, scale: float, revision: str = "") -> LoraCandidate:
    """A LoRA file with its peft config, from its metadata or the file beside it. Raises CheckpointError."""
    file = read_header(path)
    metadata, config_file = file.metadata.get("lora_adapter_metadata"), path.parent / _PEFT_CONFIG_FILE
    config: Any = {}
    try:
        if metadata is not None:
            entries = parse_json(metadata).items()
            config = {key.removeprefix("prior."): value for key, value in entries}
        elif config_file.is_file() and any(key.startswith(PEFT_PREFIX) for key in file.tensors):
            config = parse_json(read_small_file(config_file))
        config = _parse_peft_config(config)
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{name} has an unreadable alpha (strength): fetch or copy it again.") from error
    return LoraCandidate(name[-_MAX_NAME_CHARS:], scale, file, config, revision)


def _parse_peft_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entries of a peft config that set the strength. Raises ValueError."""
    alpha, patterns = config.get("lora_alpha"), config.get("alpha_pattern") or {}
    if not all(number is None or type(number) in (int, float) for number in (alpha, *patterns.values())):
        raise ValueError("alpha is not a number")
    if len(patterns) > _MAX_PATTERNS:
        raise ValueError("too many patterns")
    named = {ModulePattern.parse(pattern): value for pattern, value in patterns.items()}
    return {"lora_alpha": alpha, "alpha_pattern": named, "use_rslora": config.get("use_rslora") is True}
