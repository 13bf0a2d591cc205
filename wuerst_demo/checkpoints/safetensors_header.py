"""Headers of safetensors files: read and verified, with the file's length; no tensor is read.

Format: 8 bytes little-endian with the length N of the header; N bytes of JSON (name -> dtype, shape, [begin, end) after
the header); the tensors without gaps, to the end of the file (https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wuerst_demo.checkpoints.json_reader import parse_json
from wuerst_demo.errors import CheckpointError

STORED_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64"}
"""Supported dtypes: name in the header -> name in torch. Others are quantised, or of other programs."""
_BYTES_PER_ELEMENT = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8}
_MAX_HEADER_BYTES = 2**23
"""Some 50,000 tensors; the networks of a cascade have a few thousand together."""
_MAX_TENSOR_NAME_CHARS = 500
_MAX_DIMENSIONS = 8
_LENGTH_BYTES = 8
_MAX_QUOTED_CHARS = 80
"""How much of a tensor's name is repeated in an error message."""


@dataclass(frozen=True)
class TensorInfo:
    """Header entry of one tensor."""

    dtype: str
    """A key of STORED_DTYPES."""
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in the file."""
        return self.elements * _BYTES_PER_ELEMENT[self.dtype]


@dataclass(frozen=True)
class SafetensorsFile:
    """A safetensors file with a valid header and the length that it declares."""

    path: Path
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Unverified texts of the program that wrote the file."""


def refetch_remedy(path: Path) -> str:
    """Remedy for a damaged file. The Hub's cache keeps one until its repository is deleted there."""
    cached = next((folder.parent for folder in path.parents if folder.name == "snapshots"), None)
    return f"delete {cached} and start again, which fetches it anew" if cached else "fetch or copy it again"


def read_header(path: Path) -> SafetensorsFile:
    """Verified header of a file. Raises CheckpointError, naming the file, if it is damaged or incomplete."""
    remedy = refetch_remedy(path)
    damaged = f"{path} has a damaged header: {remedy}."
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(_LENGTH_BYTES)
            length = int.from_bytes(start, "little")
            if start == b"version ":
                raise CheckpointError(
                    f"{path} is a Git LFS pointer, not the weights: run `git lfs pull` in its folder."
                )
            if len(start) < _LENGTH_BYTES or (length <= _MAX_HEADER_BYTES and _LENGTH_BYTES + length > size):
                raise CheckpointError(f"{path} is cut off inside its header: {remedy}.")
            if length > _MAX_HEADER_BYTES:
                raise CheckpointError(f"{path} is damaged or not a safetensors file: {remedy}.")
            header = parse_json(file.read(length), _MAX_HEADER_BYTES)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): check that it exists and its permissions."
        ) from error
    except ValueError as error:
        raise CheckpointError(damaged) from error
    if not isinstance(header, dict):
        raise CheckpointError(damaged)
    metadata = header.pop("__metadata__", None)
    texts = {k: v for k, v in metadata.items() if isinstance(v, str)} if isinstance(metadata, dict) else {}
    entries = sorted(_parse_entry(path, name, entry) for name, entry in header.items())
    position = 0
    for begin, end, name, _ in entries:
        if begin != position:
            quoted = repr(name[:_MAX_QUOTED_CHARS])
            raise CheckpointError(f"{path} has a damaged header (gap or overlap at {quoted}): {remedy}.")
        position = end
    expected = _LENGTH_BYTES + length + position
    if size < expected:
        raise CheckpointError(f"{path} is cut off: it has {size:,} of {expected:,} bytes; {remedy}.")
    if size > expected:
        raise CheckpointError(f"{path} is {size - expected:,} bytes longer than its header says: {remedy}.")
    return SafetensorsFile(path, {name: tensor for _, _, name, tensor in entries}, texts)


def _parse_entry(path: Path, name: str, entry: object) -> tuple[int, int, str, TensorInfo]:
    """Begin, end, name and description of one header entry. Raises CheckpointError."""
    quoted = repr(name[:_MAX_QUOTED_CHARS])
    damaged = CheckpointError(f"{path} has a damaged header (at {quoted}): {refetch_remedy(path)}.")
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [begin, end]}:
            pass
        case _:
            raise damaged
    if len(name) > _MAX_TENSOR_NAME_CHARS or len(shape) > _MAX_DIMENSIONS:
        raise damaged
    if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
        raise damaged
    if dtype not in STORED_DTYPES:
        raise CheckpointError(
            f"{path} stores {quoted} as {dtype[:20]!r}; give a checkpoint stored as {', '.join(STORED_DTYPES)}."
        )
    tensor = TensorInfo(dtype, tuple(shape))
    if end - begin != tensor.bytes:
        raise damaged
    return begin, end, name, tensor
