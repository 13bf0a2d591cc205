"""Which files of which repositories a cascade needs, gathered before they are fetched, and their content once they are.

Knows JSON and headers of weights. Does not know which repositories belong together, nor torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wuerst_demo.errors import CheckpointError
from wuerst_demo.model import configs
from wuerst_demo.model.configs import Config, Kind
from wuerst_demo.model.located import Part
from wuerst_demo.model.source import Source
from wuerst_demo.model.tree import Tree
from wuerst_demo.model.weights import WeightsFile, again, read_header

_LONGEST = 16 * 2**20


@dataclass(frozen=True)
class Plan:
    """Which network comes from which tree, and which files of each tree that makes. Filled while locating."""

    networks: dict[str, tuple[Tree, str]] = field(default_factory=dict)
    files: dict[Source, set[str]] = field(default_factory=dict)
    folders: dict[tuple[Source, frozenset[str]], Path] = field(default_factory=dict)

    def add(self, kind: Kind, tree: Tree, prefix: str) -> None:
        """A network of this kind comes from this tree's folder `prefix`. Raises CheckpointError if it is not there."""
        self.networks[kind.called] = tree, prefix
        self.more(tree, *tree.network(kind, prefix))

    def more(self, tree: Tree, *names: str) -> None:
        """These files are needed too, those of them that the tree has."""
        self.files.setdefault(tree.source, set()).update(names)

    def small(self, tree: Tree) -> Path:
        """The folder with everything but the weights."""
        return self._fetched(tree, frozenset(name for name in self.files[tree.source] if not _is_weights(name)))

    def folder(self, tree: Tree) -> Path:
        """The folder with everything."""
        return self._fetched(tree, frozenset(self.files[tree.source]))

    def _fetched(self, tree: Tree, names: frozenset[str]) -> Path:
        # Kept, because asking the Hub takes a while even where it has nothing new to give.
        if (tree.source, names) not in self.folders:
            self.folders[tree.source, names] = tree.fetch(names)
        return self.folders[tree.source, names]

    def options(self, kind: Kind) -> Config:
        """The complete options of a network."""
        tree, prefix = self.networks[kind.called]
        name = f"{prefix}config.json"
        return configs.read(kind, read_json(self.small(tree), name), f"{tree.source}/{name}")

    def part(self, kind: Kind, options: Config) -> Part:
        """A network with its weights on disk and verified."""
        tree, prefix = self.networks[kind.called]
        folder = self.folder(tree)
        names = tree.network(kind, prefix)
        index = [name for name in names if name.endswith(".index.json")]
        weights = tuple(read_header(folder / name) for name in names if _is_weights(name))
        if index:
            _check_index(read_json(folder, index[0]), weights, folder / index[0])
        revision = folder.name if tree.source.folder is None and re.fullmatch("[0-9a-f]{40}", folder.name) else ""
        return Part(kind, tree.source, revision, options, weights)


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors")


def read(path: Path) -> bytes:
    """A small file's bytes. Raises CheckpointError."""
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): restore it or mend its permissions."
        ) from error


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object from a file. Raises CheckpointError."""
    path = folder / name
    try:
        value = json.loads(read(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no readable JSON: {again(path)}.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object: {again(path)}.")
    return value


def _check_index(index: Mapping[str, Any], shards: tuple[WeightsFile, ...], path: Path) -> None:
    """Raises CheckpointError unless an index names exactly these shards, and each holds what the index says."""
    table = index.get("weight_map")
    if not isinstance(table, dict):
        raise CheckpointError(f"{path} has no weight_map: {again(path)}.")
    held = {name: shard.path.name for shard in shards for name in shard.tensors}
    for name, file in table.items():
        # The names in an index are only ever compared with files that were found in the folder itself, never opened.
        if held.get(name) != file:
            raise CheckpointError(
                f"{path} promises {name[:80]!r} in {str(file)[:80]!r}, which lacks it: {again(path)}."
            )
    if len(held) != len(table):
        raise CheckpointError(f"{path} does not name all tensors of its shards: {again(path)}.")
