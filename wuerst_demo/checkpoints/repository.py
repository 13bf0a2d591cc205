"""File listing of one checkpoint repository or folder, and the files that each network needs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wuerst_demo.checkpoints.hub import Hub
from wuerst_demo.checkpoints.network_config import NetworkKind
from wuerst_demo.checkpoints.source import Source
from wuerst_demo.errors import CheckpointError

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_SUBFOLDERS = ("prior", "decoder", "vqgan", "text_encoder", "tokenizer", "scheduler")
_TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_VARIANTS = ("", ".fp16", ".bf16")
"""Suffixes of diffusers for weights in half precision, in the order in which they are looked for."""
_REFETCH_REMEDY = "fetch or copy it again, whole"


@dataclass(frozen=True)
class RepositoryListing:
    """A source and the files that it has."""

    source: Source
    hub: Hub
    names: frozenset[str]
    """Paths with forward slashes, of a folder those of its root and its known subfolders."""

    def fetch(self, names: Iterable[str]) -> Path:
        """Local folder that holds those of the files that exist. Raises CheckpointError."""
        if self.source.folder is not None:
            return self.source.folder
        return self.hub.fetch(self.source.repository, self.source.revision, sorted(set(names) & self.names))

    def network_files(self, kind: NetworkKind, prefix: str) -> tuple[str, ...]:
        """Config and weights of a network, in one file or index and shards; `prefix` is "decoder/" or "".

        Raises CheckpointError if they are missing, or exist only as pickles.
        """
        config = f"{prefix}config.json"
        if config not in self.names:
            raise CheckpointError(
                f"{self.source} has no {config} for the {kind.name}, so it is not a Würstchen checkpoint or only part"
                f" of one: {_REFETCH_REMEDY}."
            )
        stem = prefix + kind.weights_stem
        for variant in _VARIANTS:
            single, index = f"{stem}{variant}.safetensors", f"{stem}.safetensors.index{variant}.json"
            if single in self.names:
                return config, single
            if index in self.names:
                number, name, suffix = r"-\d+-of-\d+", re.escape(stem), re.escape(variant)
                shard = re.compile(rf"{name}(?:{suffix}{number}|{number}{suffix})\.safetensors")
                return config, index, *sorted(filter(shard.fullmatch, self.names))
        single = f"{stem}.safetensors"
        siblings = (name for name in self.names if name.startswith(prefix) and "/" not in name[len(prefix) :])
        if any(name.endswith(PICKLE_SUFFIXES) for name in siblings):
            raise CheckpointError(
                f"{self.source} has the {kind.name}'s weights only as pickles, which can run code when they are"
                f" opened: convert them to {single}, or give a checkpoint that has it."
            )
        raise CheckpointError(f"{self.source} has no {single} for the {kind.name}: {_REFETCH_REMEDY}.")

    def tokenizer_files(self) -> tuple[str, ...]:
        """Files of the tokenizer. Raises CheckpointError if required ones are missing."""
        found = tuple(f"tokenizer/{name}" for name in _TOKENIZER_FILES if f"tokenizer/{name}" in self.names)
        if "tokenizer/tokenizer.json" not in found:
            for name in ("tokenizer/vocab.json", "tokenizer/merges.txt"):
                if name not in found:
                    raise CheckpointError(f"{self.source} has no {name} for its tokenizer: {_REFETCH_REMEDY}.")
        return found


def list_repository(source: Source, hub: Hub) -> RepositoryListing:
    """File listing of a repository or folder. Raises CheckpointError."""
    if source.folder is None:
        return RepositoryListing(source, hub, frozenset(hub.files(source.repository, source.revision)))
    try:
        names = [path.name for path in source.folder.iterdir() if path.is_file()]
        for folder in _SUBFOLDERS:
            if (source.folder / folder).is_dir():
                names += [f"{folder}/{path.name}" for path in (source.folder / folder).iterdir() if path.is_file()]
    except OSError as error:
        raise CheckpointError(f"{error.filename} cannot be read ({error.strerror}): fix its permissions.") from error
    return RepositoryListing(source, hub, frozenset(names))
