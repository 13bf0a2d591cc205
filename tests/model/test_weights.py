"""Headers of safetensors files: what the library writes is read as it is, and every way of being damaged is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from wuerst_demo.errors import CheckpointError
from wuerst_demo.model.weights import read_header

TENSORS = {"a": np.ones((2, 3), np.float32), "b": np.zeros((), np.int64), "c": np.ones(5, np.float16)}
WHOLE = save(TENSORS, {"format": "pt"})
LENGTH = int.from_bytes(WHOLE[:8], "little")


def described(name="a", **changes):
    """A file of one tensor of eight bytes, whose header entry is changed."""
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes
    header = json.dumps({name: entry}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.safetensors"


def test_a_header_says_what_the_library_wrote(path):
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
        (b"PK\x03\x04" + bytes(range(200)), "no safetensors file"),
        (WHOLE[:8] + b"\xff" + WHOLE[9:], "damaged header"),
        (WHOLE[:8] + b"[" * LENGTH + WHOLE[8 + LENGTH :], "damaged header"),
        ((2).to_bytes(8, "little") + b"[]", "damaged header"),
        (described(dtype="F8_E4M3"), "as 'F8_E4M3'; give a checkpoint"),
        (described(dtype=7), "damaged header"),
        (described("\x1b[2J\n" + "a" * 10_000, shape=[3]), "damaged header"),
        (described(shape=[3]), "damaged header"),
        (described(shape=[-1, -2]), "damaged header"),
        (described(shape=[2.0]), "damaged header"),
        (described(data_offsets=[4, 12]), "gap or overlap"),
        (described(data_offsets=[0]), "damaged header"),
        (described(data_offsets=[0, 2**80]), "damaged header"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line_that_names_it(content, words, path):
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words) as raised:
        read_header(path)
    assert str(path) in str(raised.value)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 1000


def test_a_file_that_is_not_there_is_refused(path):
    with pytest.raises(CheckpointError, match=r"cannot be read \(No such file"):
        read_header(path)


@settings(deadline=None)
@given(data=st.data())
def test_no_damage_to_a_header_gets_past_as_anything_but_an_error(data, tmp_path_factory):
    place = data.draw(st.integers(0, 8 + LENGTH - 1))
    damaged = bytearray(WHOLE)
    damaged[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "some.safetensors"
    path.write_bytes(damaged)
    try:
        found = read_header(path).tensors
    except CheckpointError:
        return
    # What still reads is a renamed tensor, a type of equal width, or changed metadata: no byte more or less.
    assert sum(stored.bytes for stored in found.values()) == sum(each.nbytes for each in TENSORS.values())
