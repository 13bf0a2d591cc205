"""One checkpoint repository or folder: what it lists, and which of its files a part needs.

Knows file names and layouts. Does not know what stands in the files, nor which repositories belong together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wuerst_demo.errors import CheckpointError
from wuerst_demo.model.configs import PRIOR_TEXT, Kind
from wuerst_demo.model.hub import Hub
from wuerst_demo.model.source import Source

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_TOKENIZER = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_WHOLE = "fetch or copy it again, whole"


@dataclass(frozen=True)
class Tree:
    """A source and the paths of its files, with forward slashes: the root's and those of its folders, no deeper."""

    source: Source
    hub: Hub
    names: frozenset[str]

    def fetch(self, names: Iterable[str]) -> Path:
        """The folder in which these files of the tree are on disk. Raises CheckpointError."""
        if self.source.folder is not None:
            return self.source.folder
        return self.hub.fetch(self.source.repository, self.source.revision, sorted(set(names) & self.names))

    def network(self, kind: Kind, prefix: str) -> tuple[str, ...]:
        """The config and the weights of a network, one file or index and shards; `prefix` is "decoder/" or "".

        Raises CheckpointError if they are missing or there are only pickles.
        """
        config = f"{prefix}config.json"
        if config not in self.names:
            raise CheckpointError(
                f"{self.source} has no {config} for the {kind.called}, so it is no Würstchen checkpoint or only part of"
                f" one: {_WHOLE}."
            )
        single = f"{prefix}{kind.weights}.safetensors"
        if single in self.names:
            return config, single
        index = f"{single}.index.json"
        if index in self.names:
            shard = re.compile(rf"{re.escape(prefix + kind.weights)}-\d+-of-\d+\.safetensors")
            return config, index, *sorted(filter(shard.fullmatch, self.names))
        if any(
            name.startswith(prefix) and name.endswith(PICKLES) and "/" not in name[len(prefix) :] for name in self.names
        ):
            raise CheckpointError(
                f"{self.source} has the {kind.called}'s weights only as pickles, which can run code when they are"
                f" opened: convert them to {single}, or give a checkpoint that has it."
            )
        raise CheckpointError(f"{self.source} has no {single} for the {kind.called}: {_WHOLE}.")

    def tokenizer(self, prefix: str) -> tuple[str, ...]:
        """The files of a tokenizer. Raises CheckpointError if there are not enough of them."""
        there = tuple(prefix + name for name in _TOKENIZER if prefix + name in self.names)
        if prefix + "tokenizer.json" not in there:
            for name in ("vocab.json", "merges.txt"):
                if prefix + name not in there:
                    raise CheckpointError(f"{self.source} has no {prefix}{name} for its tokenizer: {_WHOLE}.")
        return there

    def text(self) -> tuple[str, ...]:
        """The files of the text encoder and its tokenizer, which lie alike in decoder and prior repositories."""
        return *self.network(PRIOR_TEXT, "text_encoder/"), *self.tokenizer("tokenizer/")


def open_tree(source: Source, hub: Hub) -> Tree:
    """Lists a repository or folder. Raises CheckpointError."""
    if source.folder is None:
        return Tree(source, hub, frozenset(hub.files(source.repository, source.revision)))
    try:
        names = [path.name for path in source.folder.iterdir() if path.is_file()]
        for folder in ("prior", "decoder", "vqgan", "text_encoder", "tokenizer", "scheduler"):
            if (source.folder / folder).is_dir():
                names += [f"{folder}/{path.name}" for path in (source.folder / folder).iterdir() if path.is_file()]
    except OSError as error:
        raise CheckpointError(f"{error.filename} cannot be read ({error.strerror}): mend its permissions.") from error
    return Tree(source, hub, frozenset(names))
