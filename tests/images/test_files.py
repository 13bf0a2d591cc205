"""Images are written to files completely or not at all."""

import contextlib
import dataclasses
import errno
import os
import stat
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

from wuerst_demo.errors import StorageError
from wuerst_demo.events import Result
from wuerst_demo.images.files import check_writable, copy_image, save_animation, save_image
from wuerst_demo.images.metadata import AI_SOURCE_TYPE, read_image_settings
from wuerst_demo.request import Limits
from wuerst_demo.variation import encode_image_embeddings

NOON = datetime(2026, 3, 14, 12, 0, 0)


@pytest.fixture
def result():
    request = Limits().request({"prompt": "ein Würstchen / ../etc", "seed": 7})
    return Result(0, Image.effect_noise((64, 32), 80).convert("RGB"), request)


def error_message(act, *args, **more):
    with pytest.raises(StorageError) as caught:
        act(*args, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_saved_image_is_lossless_and_carries_its_request(result, tmp_path):
    path = save_image(result, tmp_path, "cocktail", "abc", now=NOON)
    assert ImageChops.difference(Image.open(path), result.image).getbbox() is None
    found = read_image_settings(path)
    assert Limits().request(found.values) == result.request
    assert (found.checkpoint, found.revision) == ("cocktail", "abc")


def test_the_composition_of_256_pixels_adds_no_more_than_3_kilobytes(result, tmp_path):
    composition = encode_image_embeddings(np.random.default_rng(0).normal(size=(16, 6, 6)))
    with_it = save_image(dataclasses.replace(result, image_embeddings=composition), tmp_path, "cocktail")
    without = save_image(result, tmp_path, "cocktail")
    assert read_image_settings(with_it).image_embeddings == composition
    assert 0 < with_it.stat().st_size - without.stat().st_size <= 3000


def test_an_animation_plays_there_and_back_and_carries_its_request(result, tmp_path):
    colors = [(0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255)]
    frames = [Image.new("RGB", (64, 32), color) for color in colors]
    request = dataclasses.replace(result.request, prompt='<b>&amp; "cat"</b>\n]]>', negative_prompt="é \U0001f32d")
    path = save_animation(frames, request, tmp_path, "cocktail", "abc", now=NOON)
    assert path.name == "20260314-120000-morph.webp"
    shown, durations = [], []
    with Image.open(path) as animation:
        assert animation.info["loop"] == 0
        for number in range(animation.n_frames):
            animation.seek(number)
            animation.load()
            shown.append(animation.convert("RGB").getpixel((5, 5)))
            durations.append(animation.info["duration"])
    expected = [*colors, *colors[-2:0:-1]]
    assert np.abs(np.subtract(shown, expected)).max() < 10
    assert durations == [800, 120, 120, 800, 120, 120]
    found = read_image_settings(path)
    assert Limits().request(found.values) == request
    assert (found.checkpoint, found.revision) == ("cocktail", "abc")
    assert AI_SOURCE_TYPE.encode() in path.read_bytes()


def test_an_animation_that_cannot_be_written_is_one_line(result, tmp_path):
    (tmp_path / "taken").write_text("")
    assert "a file has that name" in error_message(
        save_animation, [result.image] * 3, result.request, tmp_path / "taken"
    )


def test_only_files_to_keep_wait_for_the_disk(result, tmp_path, monkeypatch):
    synchronized = []
    monkeypatch.setattr(os, "fsync", lambda number: synchronized.append(number))
    save_image(result, tmp_path, durable=False)
    assert synchronized == []
    save_image(result, tmp_path)
    assert len(synchronized) == 1


def test_file_name_has_time_and_seed_but_not_the_prompt(result, tmp_path):
    assert save_image(result, tmp_path, now=NOON).name == "20260314-120000-seed7.png"


def test_existing_files_are_never_overwritten(result, tmp_path):
    first = save_image(result, tmp_path, now=NOON)
    first.write_bytes(b"kept")
    names = [save_image(result, tmp_path, now=NOON).name for _ in range(2)]
    assert names == ["20260314-120000-seed7-2.png", "20260314-120000-seed7-3.png"]
    assert first.read_bytes() == b"kept"


def test_disk_without_hard_links_never_overwrites(result, tmp_path, monkeypatch):
    def link(source, target):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "link", link)
    first = save_image(result, tmp_path, now=NOON)
    assert read_image_settings(first).values["seed"] == 7
    first.write_bytes(b"kept")
    second = save_image(result, tmp_path, now=NOON)
    assert second.name == "20260314-120000-seed7-2.png"
    assert first.read_bytes() == b"kept"
    assert set(tmp_path.iterdir()) == {first, second}


def test_folder_contains_nothing_but_the_image(result, tmp_path):
    path = save_image(result, tmp_path / "new" / "folder")
    assert list(path.parent.iterdir()) == [path]


def full(path):
    """Linux's device on which every write fails with ENOSPC."""
    path.touch()
    return open("/dev/full", "wb")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_full_disk_is_reported_and_leaves_nothing(result, tmp_path):
    assert "disk is full" in error_message(save_image, result, tmp_path, open_new=full)
    assert list(tmp_path.iterdir()) == []
    assert save_image(result, tmp_path).exists()


def test_copies_have_the_same_bytes_and_never_overwrite(result, tmp_path):
    made = save_image(result, tmp_path / "session", now=NOON)
    copies = [copy_image(made, tmp_path / "kept" / "today") for _ in range(2)]
    assert [each.name for each in copies] == [made.name, f"{made.stem}-2.png"]
    assert all(each.read_bytes() == made.read_bytes() for each in copies)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_copy_to_a_full_disk_is_reported_and_leaves_nothing(result, tmp_path):
    made = save_image(result, tmp_path / "session")
    assert "disk is full" in error_message(copy_image, made, tmp_path / "kept", open_new=full)
    assert list((tmp_path / "kept").iterdir()) == []
    assert made.exists()
    assert copy_image(made, tmp_path / "kept").exists()


def test_copy_of_a_missing_file_is_reported(tmp_path):
    assert "choose another folder" in error_message(copy_image, tmp_path / "gone.png", tmp_path / "kept")


class Failing:
    """A file that fails with an OSError after some bytes."""

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
def test_disk_that_fails_while_writing_leaves_nothing(result, tmp_path, code, says):
    assert says in error_message(save_image, result, tmp_path, open_new=lambda path: Failing(path, 100, code))
    assert list(tmp_path.iterdir()) == []


def test_interrupt_while_writing_leaves_nothing(result, tmp_path):
    class Stopped(Failing):
        def write(self, data):
            self.file.write(data[:100])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_image(result, tmp_path, open_new=lambda path: Stopped(path, 0, 0))
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_a_file_is_rejected(result, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("kept")
    for folder in (taken, taken / "below"):
        assert "a file has that name" in error_message(check_writable, folder)
        assert "a file has that name" in error_message(save_image, result, folder)
    assert taken.read_text() == "kept"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission_is_rejected(result, tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert "choose another folder" in error_message(check_writable, tmp_path)
    assert "choose another folder" in error_message(save_image, result, tmp_path)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="no /proc here")
def test_read_only_file_system_is_rejected(result, tmp_path):
    assert "choose another folder" in error_message(check_writable, Path("/proc/pictures"))
    assert "choose another folder" in error_message(save_image, result, Path("/proc"))


def test_folder_name_that_no_disk_supports_is_rejected(tmp_path):
    assert "choose another folder" in error_message(check_writable, tmp_path / ("x" * 300))
    assert "choose another folder" in error_message(check_writable, tmp_path / "a\0b")


def test_checking_a_folder_leaves_the_disk_unchanged(tmp_path):
    check_writable(tmp_path / "a" / "b")
    error_message(check_writable, tmp_path / "c" / ("x" * 300))
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_relative_folders_are_accepted(tmp_path):
    with contextlib.chdir(tmp_path):
        check_writable(Path("a/../b"))
        check_writable(Path("."))
    assert list(tmp_path.iterdir()) == []
