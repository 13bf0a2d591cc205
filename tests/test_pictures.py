"""Pictures become files that are whole or not there."""

import contextlib
import errno
import os
import stat
from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from wuerst_demo.errors import StorageError
from wuerst_demo.events import Result
from wuerst_demo.metadata import from_png
from wuerst_demo.pictures import copy, save, writable
from wuerst_demo.request import Limits

NOON = datetime(2026, 3, 14, 12, 0, 0)


@pytest.fixture
def result():
    request = Limits().request({"prompt": "ein Würstchen / ../etc", "seed": 7})
    return Result(0, Image.effect_noise((64, 32), 80).convert("RGB"), request)


def refusal(act, *args, **more):
    with pytest.raises(StorageError) as caught:
        act(*args, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_a_saved_picture_shows_the_same_and_carries_its_request(result, tmp_path):
    path = save(result, tmp_path, "cocktail", "abc", now=NOON)
    assert ImageChops.difference(Image.open(path), result.picture).getbbox() is None
    found = from_png(path)
    assert Limits().request(found.values) == result.request
    assert (found.checkpoint, found.revision) == ("cocktail", "abc")


def test_the_name_tells_when_and_which_seed_but_not_the_prompt(result, tmp_path):
    assert save(result, tmp_path, now=NOON).name == "20260314-120000-seed7.png"


def test_no_file_is_ever_written_over(result, tmp_path):
    first = save(result, tmp_path, now=NOON)
    first.write_bytes(b"kept")
    names = [save(result, tmp_path, now=NOON).name for _ in range(2)]
    assert names == ["20260314-120000-seed7-2.png", "20260314-120000-seed7-3.png"]
    assert first.read_bytes() == b"kept"


def test_nothing_but_the_picture_is_left_in_the_folder(result, tmp_path):
    path = save(result, tmp_path / "new" / "folder")
    assert list(path.parent.iterdir()) == [path]


def full(path):
    """Linux's device on which every write fails for want of space."""
    path.touch()
    return open("/dev/full", "wb")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_said_and_leaves_nothing(result, tmp_path):
    assert "disk is full" in refusal(save, result, tmp_path, open_new=full)
    assert list(tmp_path.iterdir()) == []
    assert save(result, tmp_path).exists()


def test_a_copy_is_the_same_bytes_under_the_same_name_and_nothing_is_written_over(result, tmp_path):
    made = save(result, tmp_path / "session", now=NOON)
    copies = [copy(made, tmp_path / "kept" / "today") for _ in range(2)]
    assert [each.name for each in copies] == [made.name, f"{made.stem}-2.png"]
    assert all(each.read_bytes() == made.read_bytes() for each in copies)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_copy_that_does_not_fit_on_the_disk_is_said_and_leaves_nothing(result, tmp_path):
    made = save(result, tmp_path / "session")
    assert "disk is full" in refusal(copy, made, tmp_path / "kept", open_new=full)
    assert list((tmp_path / "kept").iterdir()) == []
    assert made.exists()
    assert copy(made, tmp_path / "kept").exists()


def test_what_is_gone_before_it_is_copied_is_said(tmp_path):
    assert "choose another folder" in refusal(copy, tmp_path / "gone.png", tmp_path / "kept")


class Failing:
    """A file that takes so many bytes and then fails like a disk."""

    def __init__(self, path, takes, code):
        self.file = path.open("xb")
        self.takes, self.code = takes, code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[: self.takes])
        raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "disk is full"),
        (errno.EIO, "cannot be written"),
        (errno.EROFS, "cannot be written"),
    ],
)
def test_a_disk_that_fails_half_way_leaves_nothing(result, tmp_path, code, says):
    assert says in refusal(save, result, tmp_path, open_new=lambda path: Failing(path, 100, code))
    assert list(tmp_path.iterdir()) == []


def test_a_stop_half_way_leaves_nothing(result, tmp_path):
    class Stopped(Failing):
        def write(self, data):
            self.file.write(data[:100])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(result, tmp_path, open_new=lambda path: Stopped(path, 0, 0))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_refused(result, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("kept")
    for folder in (taken, taken / "below"):
        assert "a file has that name" in refusal(writable, folder)
        assert "a file has that name" in refusal(save, result, folder)
    assert taken.read_text() == "kept"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(result, tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert "choose another folder" in refusal(writable, tmp_path)
    assert "choose another folder" in refusal(save, result, tmp_path)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="no /proc here")
def test_a_folder_nobody_can_write_to_is_refused(result, tmp_path):
    assert "choose another folder" in refusal(writable, Path("/proc/pictures"))
    assert "choose another folder" in refusal(save, result, Path("/proc"))


def test_a_name_no_disk_takes_is_refused(tmp_path):
    assert "choose another folder" in refusal(writable, tmp_path / ("x" * 300))
    assert "choose another folder" in refusal(writable, tmp_path / "a\0b")


def test_proving_that_a_folder_takes_files_leaves_the_disk_as_it_was(tmp_path):
    writable(tmp_path / "a" / "b")
    refusal(writable, tmp_path / "c" / ("x" * 300))
    writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_may_be_named_from_where_one_stands(tmp_path):
    with contextlib.chdir(tmp_path):
        writable(Path("a/../b"))
        writable(Path("."))
    assert list(tmp_path.iterdir()) == []
