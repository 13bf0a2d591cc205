"""Safetensors files, read as far as their header: what a file should hold, and whether it is all there.

Does not know torch, nor what the tensors are for; it reads no tensor. The format: 8 bytes little-endian with the
length N of the header, N bytes of JSON (name -> dtype, shape, [begin, end) after the header), then the tensors
without gaps, to the end of the file (https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wuerst_demo.errors import CheckpointError

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64"}
"""The types a Würstchen checkpoint may be stored in: the header's word -> torch's. Others are quantised or foreign."""
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8}
_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class Stored:
    """One tensor as the header describes it."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """How long it is in the file."""
        return self.elements * _BYTES[self.dtype]


@dataclass(frozen=True)
class WeightsFile:
    """A safetensors file whose header is sound and whose length is what the header says.

    `metadata` are the texts that its writer added; nobody has checked them.
    """

    path: Path
    tensors: Mapping[str, Stored]
    metadata: Mapping[str, str] = field(default_factory=dict)


def again(path: Path) -> str:
    """What to do about a damaged file. One in the Hub's cache comes back as it is unless its repository is deleted."""
    cached = next((folder.parent for folder in path.parents if folder.name == "snapshots"), None)
    return f"delete {cached} and start again, which fetches it anew" if cached else "fetch or copy it again"


def read_header(path: Path) -> WeightsFile:
    """Reads and verifies a header. Raises CheckpointError, naming the file, if the file is not whole and sound."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if start == b"version ":
                raise CheckpointError(
                    f"{path} is a Git LFS pointer, not the weights: run `git lfs pull` in its folder."
                )
            if len(start) < 8 or (length <= _LONGEST_HEADER and 8 + length > size):
                raise CheckpointError(f"{path} is cut off inside its header: {again(path)}.")
            if length > _LONGEST_HEADER:
                raise CheckpointError(f"{path} is damaged or no safetensors file: {again(path)}.")
            header = json.loads(file.read(length).decode("utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): check that it exists and its permissions."
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has a damaged header: {again(path)}.") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} has a damaged header: {again(path)}.")
    metadata = header.pop("__metadata__", None)
    told = {k: v for k, v in metadata.items() if isinstance(v, str)} if isinstance(metadata, dict) else {}
    spans = sorted(_span(path, name, entry) for name, entry in header.items())
    end = 0
    for begin, after, name, _ in spans:
        if begin != end:
            raise CheckpointError(f"{path} has a damaged header (gap or overlap at {name[:80]!r}): {again(path)}.")
        end = after
    expected = 8 + length + end
    if size < expected:
        raise CheckpointError(f"{path} is cut off: it has {size:,} of {expected:,} bytes; {again(path)}.")
    if size > expected:
        raise CheckpointError(f"{path} is {size - expected:,} bytes longer than its header says: {again(path)}.")
    return WeightsFile(path, {name: stored for _, _, name, stored in spans}, told)


def _span(path: Path, name: str, entry: object) -> tuple[int, int, str, Stored]:
    """Begin, end and description of one entry of a header."""
    damaged = CheckpointError(f"{path} has a damaged header (at {name[:80]!r}): {again(path)}.")
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [begin, after]}:
            pass
        case _:
            raise damaged
    if not all(type(number) is int and number >= 0 for number in (begin, after, *shape)):
        raise damaged
    if dtype not in DTYPES:
        raise CheckpointError(
            f"{path} stores {name[:80]!r} as {dtype[:20]!r}; give a checkpoint stored as {', '.join(DTYPES)}."
        )
    stored = Stored(dtype, tuple(shape))
    if after - begin != stored.bytes:
        raise damaged
    return begin, after, name, stored
