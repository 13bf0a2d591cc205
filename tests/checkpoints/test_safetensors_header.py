"""Headers of safetensors files: read as the library writes them, and every kind of damage rejected."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from wuerst_demo.checkpoints import safetensors_header
from wuerst_demo.checkpoints.safetensors_header import read_header
from wuerst_demo.errors import CheckpointError

TENSORS = {"a": np.ones((2, 3), np.float32), "b": np.zeros((), np.int64), "c": np.ones(5, np.float16)}
WHOLE = save(TENSORS, {"format": "pt"})
LENGTH = int.from_bytes(WHOLE[:8], "little")


def one_tensor_file(name="a", **changes):
    """A file with one tensor of eight bytes and a changed header entry."""
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes
    header = json.dumps({name: entry}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.safetensors"


def test_a_header_describes_what_the_library_wrote(path):
    path.write_bytes(WHOLE)
    found = read_header(path).tensors
    assert {name: stored.shape for name, stored in found.items()} == {"a": (2, 3), "b": (), "c": (5,)}
    assert {name: stored.bytes for name, stored in found.items()} == {k: v.nbytes for k, v in TENSORS.items()}
    assert sum(stored.elements for stored in found.values()) == 12


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cut off inside its header"),
        (WHOLE[:5], "cut off inside its header"),
        (WHOLE[:20], "cut off inside its header"),
        (WHOLE[:-1], "is cut off: it has"),
        (WHOLE + b"\0\0", "2 bytes longer"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"PK\x03\x04" + bytes(range(200)), "not a safetensors file"),
        (WHOLE[:8] + b"\xff" + WHOLE[9:], "damaged header"),
        (WHOLE[:8] + b"[" * LENGTH + WHOLE[8 + LENGTH :], "damaged header"),
        ((2).to_bytes(8, "little") + b"[]", "damaged header"),
        (one_tensor_file(dtype="F8_E4M3"), "as 'F8_E4M3'; give a checkpoint"),
        (one_tensor_file(dtype=7), "damaged header"),
        (one_tensor_file("\x1b[2J\n" + "a" * 10_000, shape=[3]), "damaged header"),
        (one_tensor_file(shape=[3]), "damaged header"),
        (one_tensor_file(shape=[-1, -2]), "damaged header"),
        (one_tensor_file(shape=[2.0]), "damaged header"),
        (one_tensor_file(data_offsets=[4, 12]), "gap or overlap"),
        (one_tensor_file(data_offsets=[0]), "damaged header"),
        (one_tensor_file(data_offsets=[0, 2**80]), "damaged header"),
    ],
)
def test_a_damaged_file_is_rejected_in_one_line_that_names_it(content, words, path):
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words) as raised:
        read_header(path)
    assert str(path) in str(raised.value)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 1000


def test_a_missing_file_is_rejected(path):
    with pytest.raises(CheckpointError, match=r"cannot be read \(No such file"):
        read_header(path)


@settings(deadline=None)
@given(data=st.data())
def test_a_flipped_byte_in_the_header_is_an_error_or_harmless(data, tmp_path_factory):
    position = data.draw(st.integers(0, 8 + LENGTH - 1))
    damaged = bytearray(WHOLE)
    damaged[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "some.safetensors"
    path.write_bytes(damaged)
    try:
        found = read_header(path).tensors
    except CheckpointError:
        return
    # What still reads is a renamed tensor, a type of equal width, or changed metadata: no byte more or less.
    assert sum(stored.bytes for stored in found.values()) == sum(each.nbytes for each in TENSORS.values())


def test_a_header_of_exactly_the_largest_length_is_accepted(path, monkeypatch):
    path.write_bytes(WHOLE)
    monkeypatch.setattr(safetensors_header, "_MAX_HEADER_BYTES", LENGTH)
    assert read_header(path).tensors
    monkeypatch.setattr(safetensors_header, "_MAX_HEADER_BYTES", LENGTH - 1)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_header(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [1] * 5000, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**60] * 5000, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 10**400]},
        {"dtype": "F32", "shape": [2**62] * 8, "data_offsets": [0, 4]},
    ],
)
def test_numbers_that_no_tensor_has_are_rejected(path, entry):
    header = json.dumps({"x": entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CheckpointError, match="damaged header"):
        read_header(path)


def test_an_integer_of_4300_digits_is_rejected(path):
    header = b'{"x": {"dtype": "F32", "shape": [' + b"9" * 4301 + b'], "data_offsets": [0, 4]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CheckpointError, match="damaged header"):
        read_header(path)
