"""What a file or a link brings back is said, and nothing it says is more than text."""

import io
import json
import struct
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.ui.fakes import LIMITS, studio
from wuerst_demo.ui.restoring import NAME, NAMED, drafted, linked, restored
from wuerst_demo.ui.show import came


def png(**texts):
    """A PNG file with these texts, in memory."""
    info = PngInfo()
    for keyword, text in texts.items():
        info.add_itxt(keyword, text)
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG", pnginfo=info)
    file.seek(0)
    return file


def test_another_programs_settings_are_taken_as_far_as_they_go_and_the_rest_is_said():
    line = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x300, Version: v1.9"
    values, told = restored(png(parameters=f"a cat\n{line}"), LIMITS)
    assert values == {"prompt": "a cat", "prior_steps": 20, "prior_guidance": 7, "seed": 5, "width": 512}
    assert "by another program (v1.9)." in told
    assert "Height is 300" in told
    assert "no such setting here: Sampler." in told


def test_ever_so_many_names_are_cut_short():
    names = [f"Name{k} {'x' * 50}" for k in range(100)]
    line = ", ".join(["Steps: 3", *(f"{name}: 1" for name in names)])
    _, told = restored(png(parameters=f"a cat\n{line}"), LIMITS)
    assert f"and {100 - NAMED} more" in told
    assert "x" * NAME not in told


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><b>'])
def test_markup_in_a_file_or_a_link_is_text(evil):
    record = {"format": 1, "program": evil, "checkpoint": evil, "revision": evil, "request": {"prompt": evil, evil: 1}}
    for told in (
        restored(png(wuerst_demo=json.dumps(record)), LIMITS)[1],
        restored(png(parameters=f"{evil}\nSteps: 1, {evil}: 2, Model: {evil}, Version: {evil}"), LIMITS)[1],
        linked({evil: evil, "seed": evil}, LIMITS)[1],
        came(evil, (evil,)),
    ):
        assert evil not in told
        assert "<script" not in told
        assert "<img" not in told


def header(side):
    data = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return struct.pack(">I", 13) + b"IHDR" + data + struct.pack(">I", zlib.crc32(b"IHDR" + data))


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (png(), "carries no settings"),
        (png(parameters="x" * 2**21), "more than a megabyte of text"),
        (io.BytesIO(b"\x89PNG\r\n\x1a\n" + header(20_000)), "20000 x 20000 pixels"),
        (io.BytesIO(b"PK\x03\x04" + b"\0" * 1000), "not a PNG"),
        (io.BytesIO(b""), "not a PNG"),
        (png(prompt="[]"), "ComfyUI"),
    ],
    ids=["no text", "a megabyte of text", "a bomb", "a zip", "empty", "a graph"],
)
def test_what_cannot_be_read_is_one_clear_sentence(file, says):
    file.seek(0)
    values, told = restored(file, LIMITS)
    assert values == {}
    assert says in told
    assert told.count("<li>") == 1


def test_a_link_that_says_nothing_is_not_mentioned():
    assert linked({}, LIMITS) == ({}, "")
    assert linked({"__theme": "dark"}, LIMITS) == ({}, "")
    assert linked({"prompt": "a cat"}, LIMITS) == ({"prompt": "a cat"}, came("Settings from the link.", ()))


def test_what_had_been_typed_comes_back_as_it_was_typed():
    typed = {"prompt": "ein Bär\n(night", "negative_prompt": ""}
    assert drafted(json.dumps(typed), studio()) == typed


def test_what_had_been_set_comes_back_where_the_checkpoint_admits_it():
    kept = {"seed": None, "width": 384, "prior_guidance": 1.5, "weighting": False, "new_seed": True}
    here = {"checkpoint": studio().checkpoint}
    assert drafted(json.dumps(kept | here), studio()) == kept
    assert drafted(json.dumps({**kept, "prompt": "a cat", "checkpoint": "another"}), studio()) == {"prompt": "a cat"}
    nonsense = {"width": 300, "images": "many", "prior_steps": None, "new_seed": 1, "no-such": 7}
    assert drafted(json.dumps({**nonsense, "seed": 7} | here), studio()) == {"seed": 7}


@pytest.mark.parametrize("text", [None, 7, "", "{", "[" * 100_000, '["prompt"]', '{"prompt": 7}', '"prompt"'])
def test_a_draft_that_makes_no_sense_is_nothing(text):
    assert drafted(text, studio()) == {}


def test_half_a_character_in_a_strangers_file_is_shown_as_a_whole_one():
    _, told = restored(
        png(parameters='a\nSteps: 2, Seed: 5, Model: "\\ud800", Version: "\\ud800", Odd: "\\ud800"'), LIMITS
    )
    told.encode()
    assert "?" in told
