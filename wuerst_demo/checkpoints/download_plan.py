"""Download plan of a cascade: the files needed from each repository, and their validated content once fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wuerst_demo.checkpoints.json_reader import MAX_CONFIG_BYTES, parse_json
from wuerst_demo.checkpoints.manifest import NetworkFiles
from wuerst_demo.checkpoints.network_config import NetworkConfig, NetworkKind, count_layers, parse_config
from wuerst_demo.checkpoints.repository import RepositoryListing
from wuerst_demo.checkpoints.safetensors_header import SafetensorsFile, read_header, refetch_remedy
from wuerst_demo.checkpoints.source import Source
from wuerst_demo.errors import CheckpointError

_MAX_SMALL_FILE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class DownloadPlan:
    """Files needed, in two rounds: everything but the weights, then everything. Filled while resolving."""

    networks: dict[str, tuple[RepositoryListing, str]] = field(default_factory=dict)
    """Name of a network -> its repository and folder there, "decoder/" or ""."""
    files: dict[Source, set[str]] = field(default_factory=dict)
    _folders: dict[tuple[Source, frozenset[str]], Path] = field(default_factory=dict)
    """Answers of the Hub, which takes time even if nothing is new."""

    def add_network(self, kind: NetworkKind, repository: RepositoryListing, prefix: str) -> None:
        """Take a network from a repository's folder `prefix`. Raises CheckpointError if it is not there."""
        self.networks[kind.name] = repository, prefix
        self.add_files(repository, *repository.network_files(kind, prefix))

    def add_files(self, repository: RepositoryListing, *names: str) -> None:
        """Take further files from a repository, those of them that exist."""
        self.files.setdefault(repository.source, set()).update(names)

    def fetch_small_files(self, repository: RepositoryListing) -> Path:
        """Local folder that holds everything but the weights. Raises CheckpointError."""
        return self._fetch(repository, frozenset(n for n in self.files[repository.source] if not _is_weights(n)))

    def fetch_all(self, repository: RepositoryListing) -> Path:
        """Local folder that holds all files. Raises CheckpointError."""
        return self._fetch(repository, frozenset(self.files[repository.source]))

    def _fetch(self, repository: RepositoryListing, names: frozenset[str]) -> Path:
        if (repository.source, names) not in self._folders:
            self._folders[repository.source, names] = repository.fetch(names)
        return self._folders[repository.source, names]

    def read_config(self, kind: NetworkKind) -> NetworkConfig:
        """Validated options of a network. Raises CheckpointError."""
        repository, prefix = self.networks[kind.name]
        name = f"{prefix}config.json"
        config = read_json(self.fetch_small_files(repository), name)
        return parse_config(kind, config, f"{repository.source}/{name}")

    def verify_network(self, kind: NetworkKind, config: NetworkConfig) -> NetworkFiles:
        """A network whose weights are on disk and have valid headers. Raises CheckpointError."""
        repository, prefix = self.networks[kind.name]
        folder = self.fetch_all(repository)
        names = repository.network_files(kind, prefix)
        weights = tuple(read_header(folder / name) for name in names if _is_weights(name))
        for index in filter(_is_index, names):
            _check_weights_index(read_json(folder, index), weights, folder / index)
        # Building a network takes time and memory for each layer, before its tensors are compared with the files'.
        if count_layers(config) > sum(len(file.tensors) for file in weights):
            raise CheckpointError(
                f"The config.json of the {kind.name} in {repository.source} asks for more layers than its weights have:"
                " restore the file."
            )
        is_commit = repository.source.folder is None and re.fullmatch("[0-9a-f]{40}", folder.name)
        return NetworkFiles(kind, repository.source, folder.name if is_commit else "", config, weights)


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors")


def _is_index(name: str) -> bool:
    return ".safetensors.index." in name


def read_small_file(path: Path) -> bytes:
    """At most _MAX_SMALL_FILE_BYTES of a file. Raises CheckpointError."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SMALL_FILE_BYTES)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): restore it or fix its permissions."
        ) from error


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """JSON object in a file. Raises CheckpointError."""
    path = folder / name
    try:
        is_list = name.startswith("tokenizer/") or _is_index(name)
        value = parse_json(read_small_file(path), _MAX_SMALL_FILE_BYTES if is_list else MAX_CONFIG_BYTES)
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {refetch_remedy(path)}.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is not a JSON object: {refetch_remedy(path)}.")
    return value


def _check_weights_index(index: Mapping[str, Any], shards: tuple[SafetensorsFile, ...], path: Path) -> None:
    """Raise CheckpointError unless an index lists exactly the tensors of these shards, each in its shard."""
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict):
        raise CheckpointError(f"{path} has no weight_map: {refetch_remedy(path)}.")
    stored = {name: shard.path.name for shard in shards for name in shard.tensors}
    for name, file in weight_map.items():
        # File names of an index are only compared with the files found in the folder, never opened.
        if stored.get(name) != file:
            raise CheckpointError(
                f"{path} lists {name[:80]!r} in {str(file)[:80]!r}, which lacks it: {refetch_remedy(path)}."
            )
    if len(stored) != len(weight_map):
        raise CheckpointError(f"{path} does not list all tensors of its shards: {refetch_remedy(path)}.")
