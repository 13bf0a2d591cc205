"""Settings from PNG files, links and drafts."""

import io
import json
import struct
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.fakes.web import EMBEDDINGS, LIMITS
from wuerst_demo.images.parsed_settings import MAX_NAME_CHARS
from wuerst_demo.web.generate.restore import (
    MAX_LISTED_SETTINGS,
    restore_from_draft,
    restore_from_image,
    restore_from_link,
)
from wuerst_demo.web.shared.html import restore_notes


def png(**texts):
    """A PNG file with these texts, in memory."""
    info = PngInfo()
    for keyword, text in texts.items():
        info.add_itxt(keyword, text)
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG", pnginfo=info)
    file.seek(0)
    return file


def test_another_programs_settings_are_used_where_valid_and_noted_otherwise():
    line = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x300, Version: v1.9"
    values, told = restore(png(parameters=f"a cat\n{line}"), LIMITS)
    numbers = {"prior_steps": 20, "prior_guidance": 7, "seed": 5, "width": 512}
    assert values == {"prompt": "a cat", "negative_prompt": "", **numbers}
    assert "by another program (v1.9)." in told
    assert "Height is 300" in told
    assert "Ignored unknown settings: Sampler." in told


def test_a_long_list_of_unknown_settings_is_cut_short():
    names = [f"Name{k} {'x' * 50}" for k in range(100)]
    line = ", ".join(["Steps: 3", *(f"{name}: 1" for name in names)])
    _, told = restore(png(parameters=f"a cat\n{line}"), LIMITS)
    assert f"and {100 - MAX_LISTED_SETTINGS} more" in told
    assert "x" * MAX_NAME_CHARS not in told


def test_a_list_of_just_the_most_unknown_settings_is_complete():
    line = ", ".join(["Steps: 3", *(f"Name{k}: 1" for k in range(MAX_LISTED_SETTINGS))])
    _, told = restore(png(parameters=f"a cat\n{line}"), LIMITS)
    assert f"Name{MAX_LISTED_SETTINGS - 1}." in told
    assert "more" not in told


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><b>'])
def test_markup_in_a_file_or_link_is_escaped(evil):
    record = {"format": 1, "program": evil, "checkpoint": evil, "revision": evil, "request": {"prompt": evil, evil: 1}}
    for told in (
        restore_from_image(png(wuerst_demo=json.dumps(record)), LIMITS).notes,
        restore_from_image(
            png(parameters=f"{evil}\nSteps: 1, {evil}: 2, Model: {evil}, Version: {evil}"), LIMITS
        ).notes,
        restore_from_link({evil: evil, "seed": evil}, LIMITS)[1],
        restore_notes(evil, (evil,)),
    ):
        assert evil not in told
        assert "<script" not in told
        assert "<img" not in told


def restore(file, limits):
    restored = restore_from_image(file, limits)
    return restored.values, restored.notes


def header(side):
    data = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return struct.pack(">I", 13) + b"IHDR" + data + struct.pack(">I", zlib.crc32(b"IHDR" + data))


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (png(), "contains no settings"),
        (png(parameters="x" * 2**20), "more text than is read"),
        (io.BytesIO(b"\x89PNG\r\n\x1a\n" + header(20_000)), "20000 x 20000 pixels"),
        (io.BytesIO(b"PK\x03\x04" + b"\0" * 1000), "not a PNG"),
        (io.BytesIO(b""), "not a PNG"),
        (png(prompt="[]"), "not understood"),
    ],
    ids=["no text", "a megabyte of text", "a bomb", "a zip", "empty", "a graph"],
)
def test_an_unreadable_file_gives_one_message(file, says):
    file.seek(0)
    values, told = restore(file, LIMITS)
    assert values == {}
    assert says in told
    assert told.count("<li>") == 1


def test_a_link_without_settings_gives_no_note():
    assert restore_from_link({}, LIMITS) == ({}, "")
    assert restore_from_link({"__theme": "dark"}, LIMITS) == ({}, "")


def test_a_link_leaves_no_setting_as_it_was():
    defaults = {name: each.default for name, each in LIMITS.descriptions.items()}
    values, notes = restore_from_link({"prompt": "a cat", "width": "300"}, LIMITS)
    assert values == {**defaults, "prompt": "a cat"}
    assert (values["negative_prompt"], values["seed"]) == ("", None)
    assert "Settings from the link." in notes
    assert "Width is 300" in notes


def test_a_prompt_that_is_too_long_comes_to_the_field_to_be_shortened():
    values, notes = restore(png(parameters="x" * 2001 + "\nNegative prompt: a\x00b\nSteps: 3, Seed: 5"), LIMITS)
    assert (values["prompt"], values["negative_prompt"]) == ("x" * 2001, "ab")
    assert "Prompt is 2,001 characters long" in notes


def test_a_setting_that_exists_here_is_never_called_unknown():
    nodes = {"1": {"class_type": "KSampler", "inputs": {"steps": ["9", 0], "seed": ["9", 1], "positive": ["9", 2]}}}
    nodes["1"]["inputs"] |= {"cfg": 4, "denoise": 1}
    values, notes = restore(png(prompt=json.dumps(nodes)), LIMITS)
    assert values == {"prompt": "", "negative_prompt": "", "prior_guidance": 4}
    assert "Could not be read from the picture: Prompt, Seed, Prior steps." in notes
    assert "Ignored unknown settings: denoise." in notes
    _, notes = restore(png(parameters='{"sui_image_params": {"prompt": "a", "images": 4, "prior_steps": 4}}'), LIMITS)
    assert "Could not be read from the picture: Prior steps." in notes
    assert "unknown" not in notes


def test_text_that_is_not_understood_is_shown_to_copy():
    notes = restore_from_image(png(Comment="<b>a red barn</b>\ud7ff"), LIMITS).notes
    assert '<pre translate="no">Comment: &lt;b&gt;a red barn&lt;/b&gt;' in notes
    assert "no settings" not in notes


@pytest.mark.parametrize(
    ("version", "shown"),
    [("v1.9", "another program (v1.9)."), ("Fooocus v2.5.5", "Fooocus v2.5.5."), ("", "another program.")],
)
def test_a_program_is_named_only_as_far_as_it_names_itself(version, shown):
    line = "Steps: 20, Seed: 5" + f", Version: {version}" * bool(version)
    assert f"by {shown}" in restore(png(parameters=f"a\n{line}"), LIMITS)[1]


def test_typed_texts_are_restored_unchanged():
    typed = {"prompt": "ein Bär\n(night", "negative_prompt": ""}
    assert restore_from_draft(json.dumps(typed), LIMITS, "here") == typed


def test_settings_of_a_draft_are_restored_for_the_same_checkpoint_if_valid():
    kept = {"seed": None, "width": 384, "prior_guidance": 1.5, "weighting": False, "new_seed": True}
    here = {"checkpoint": "here"}
    assert restore_from_draft(json.dumps(kept | here), LIMITS, "here") == kept
    assert restore_from_draft(json.dumps({**kept, "prompt": "a cat", "checkpoint": "another"}), LIMITS, "here") == {
        "prompt": "a cat"
    }
    nonsense = {"width": 300, "images": "many", "prior_steps": None, "new_seed": 1, "no-such": 7}
    assert restore_from_draft(json.dumps({**nonsense, "seed": 7} | here), LIMITS, "here") == {"seed": 7}


def test_the_first_picture_of_a_morph_is_restored_for_the_same_checkpoint_if_it_is_one():
    first = {"values": {"prompt": "a cat", "seed": 7}, "checkpoint": "here", "image_embeddings": EMBEDDINGS}
    draft = {"morph_first": first, "checkpoint": "here"}
    assert restore_from_draft(json.dumps(draft), LIMITS, "here") == {"morph_first": first}
    assert restore_from_draft(json.dumps(draft), LIMITS, "another") == {}
    for nonsense in (None, 7, "text", [], {}, {**first, "values": 7}, {**first, "image_embeddings": None}):
        assert restore_from_draft(json.dumps({**draft, "morph_first": nonsense}), LIMITS, "here") == {}


@pytest.mark.parametrize("text", [None, 7, "", "{", "[" * 100_000, '["prompt"]', '{"prompt": 7}', '"prompt"'])
def test_a_malformed_draft_restores_nothing(text):
    assert restore_from_draft(text, LIMITS, "here") == {}


def test_half_a_surrogate_pair_in_a_file_is_replaced():
    _, told = restore(
        png(parameters='a\nSteps: 2, Seed: 5, Model: "\\ud800", Version: "\\ud800", Odd: "\\ud800"'), LIMITS
    )
    told.encode()
    assert "?" in told


@pytest.mark.parametrize(("length", "shown"), [(40, "n" * 40), (41, "n" * 39 + "…")])
def test_the_name_of_an_unknown_setting_is_cut_to_40_characters(length, shown):
    told = restore_from_image(png(parameters=f"a cat\nSteps: 3, {'n' * length}: 1"), LIMITS).notes
    assert f": {shown}." in told
