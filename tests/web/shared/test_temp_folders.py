"""Temporary folders of a process, and what killed processes left of theirs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wuerst_demo.web.shared.temp_folders import create_temp_folder, delete_stale_folders

HOLD = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from wuerst_demo.web.shared.temp_folders import create_temp_folder
folder = create_temp_folder("images-")
open(folder.name + "/picture.png", "w").close()
print(folder.name, flush=True)
sys.stdin.read()
"""
LATER_S = 3600.0


@pytest.fixture
def holder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_the_folder_of_a_killed_process_is_deleted_at_the_next_start(holder, tmp_path):
    process, folder = holder
    assert (folder / "picture.png").exists()
    process.kill()
    process.wait(60)
    delete_stale_folders(tmp_path, time.time() + LATER_S)
    assert list(tmp_path.iterdir()) == []


def test_of_a_folder_that_cannot_be_deleted_whole_the_rest_is_deleted(tmp_path, monkeypatch):
    folder = tmp_path / "wuerst-run-old"
    folder.mkdir()
    for name in ("lock", *"abcd"):
        (folder / name).touch()
    unlink = os.unlink

    def refuse(path, **options):
        if Path(path).name in "bc":
            raise PermissionError(path)
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    delete_stale_folders(tmp_path, time.time() + LATER_S)
    assert sorted(path.name for path in folder.iterdir()) == ["b", "c"]


def test_the_folder_of_a_running_process_stays(holder, tmp_path):
    _, folder = holder
    delete_stale_folders(tmp_path, time.time() + LATER_S)
    assert (folder / "picture.png").exists()


def test_a_process_that_ends_leaves_nothing(holder, tmp_path):
    process, _ = holder
    process.stdin.close()
    assert process.wait(60) == 0
    assert list(tmp_path.iterdir()) == []


def test_folders_of_other_programs_and_new_ones_stay(tmp_path):
    for name in ("wuerst-run-mine", "wuerst-demo", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "other" / "lock").touch()
    (tmp_path / "wuerst-run-new").mkdir()
    (tmp_path / "wuerst-run-new" / "lock").touch()
    (tmp_path / "wuerst-run-link").symlink_to(tmp_path / "other")
    before = sorted(tmp_path.rglob("*"))
    delete_stale_folders(tmp_path, time.time() + 30)
    assert sorted(tmp_path.rglob("*")) == before
    delete_stale_folders(tmp_path, time.time() + LATER_S)
    assert {path.name for path in tmp_path.iterdir()} == {"wuerst-run-mine", "wuerst-demo", "other", "wuerst-run-link"}


def test_folders_are_closed_to_other_users_and_deleted_with_their_object():
    with create_temp_folder("images-") as folder:
        assert Path(folder).parent.stat().st_mode & 0o077 == 0
    assert not Path(folder).exists()
