"""Image files of the history: what counts as changed, and when an image was created."""

import os
from datetime import datetime
from pathlib import Path

import pytest

from tests.fakes.history import write_image
from wuerst_demo.history import folder

FOREIGN_IMAGES = Path(__file__).parents[1] / "fixtures" / "foreign_images"

MODIFIED_NS = 1_700_000_000_123_456_789


@pytest.mark.parametrize(("age_ns", "listed_ns"), [(2 * 10**9, 0), (2 * 10**9 + 1, MODIFIED_NS)])
def test_a_folder_counts_as_still_changing_for_two_seconds(tmp_path, monkeypatch, age_ns, listed_ns):
    os.utime(tmp_path, ns=(MODIFIED_NS, MODIFIED_NS))
    monkeypatch.setattr(folder.time, "time_ns", lambda: MODIFIED_NS + age_ns)
    assert folder.list_folders(tmp_path) == {"": listed_ns}


def microseconds(local):
    return (local - datetime(1970, 1, 1)).total_seconds() * 1e6


def test_the_creation_time_is_that_of_the_name_with_the_modifications_fraction(tmp_path):
    path = write_image(tmp_path / "20261124-120003-seed7.png")
    os.utime(path, ns=(MODIFIED_NS, MODIFIED_NS))
    assert folder.read_record(path).created_us == microseconds(datetime(2026, 11, 24, 12, 0, 3, 123456))


@pytest.mark.parametrize("name", ["renamed.png", "20261399-250000-seed7.png"])
def test_without_a_time_in_the_name_the_creation_time_is_the_modification_time(tmp_path, name):
    path = write_image(tmp_path / name)
    os.utime(path, ns=(MODIFIED_NS, MODIFIED_NS))
    local = datetime.fromtimestamp(MODIFIED_NS // 10**9)
    assert folder.read_record(path).created_us == pytest.approx(microseconds(local) + 123_456, abs=1)


def test_only_images_of_this_program_have_a_record(tmp_path):
    record = folder.read_record(write_image(tmp_path / "a.png", "a cat", negative="blurry"))
    assert (record.prompt, record.negative_prompt) == ("a cat", "blurry")
    (tmp_path / "b.png").write_bytes(b"not a PNG file")
    assert folder.read_record(tmp_path / "b.png") is None
    assert folder.read_record(tmp_path / "missing.png") is None


def test_a_bad_file_is_skipped_and_named_and_a_foreign_one_is_not(tmp_path, caplog):
    whole = write_image(tmp_path / "20261129-120000-seed1.png", "a secret cat").read_bytes()
    for name, data in (("cut.png", whole[: len(whole) // 2]), ("empty.png", b""), ("zip.png", b"PK\x03\x04")):
        (tmp_path / name).write_bytes(data)
        assert folder.read_record(tmp_path / name) is None
        assert repr(name) in caplog.messages[-1]
    assert len(caplog.messages) == 3
    assert {folder.read_record(FOREIGN_IMAGES / name) for name in ("a1111_plain.png", "no_text.png")} == {None}
    assert len(caplog.messages) == 3
    assert "secret" not in caplog.text
