"""Temporary folder of the files that pages serve."""

import os
import shutil
import stat
import time

from wuerst_demo.web.middleware import temp_files
from wuerst_demo.web.middleware.temp_files import (
    SWEEP_INTERVAL_S,
    TEMP_FILE_TTL_S,
    delete_old_files,
    private_temp_folder,
)


def test_the_folder_is_private_and_deleted_at_the_end():
    before = os.environ.get("GRADIO_TEMP_DIR")
    with private_temp_folder() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "picture.png").touch()
    assert not folder.exists()
    assert os.environ.get("GRADIO_TEMP_DIR") == before


def test_old_files_and_empty_folders_are_deleted(tmp_path):
    old = tmp_path / "1f" / "picture.png"
    old.parent.mkdir()
    old.touch()
    copied = tmp_path / "2f" / "picture.png"
    copied.parent.mkdir()
    os.utime(old, (0, 0))
    shutil.copy2(old, copied)  # as old as what it is a copy of, for who asks when it was changed
    delete_old_files(tmp_path, time.time() - 60)
    assert old.exists()
    assert copied.exists()
    delete_old_files(tmp_path, time.time() + 60)
    assert list(tmp_path.iterdir()) == []


def test_old_files_are_deleted_while_the_page_is_open():
    with private_temp_folder(ttl_s=0.0, interval_s=0.02) as folder:
        (folder / "picture.png").touch()
        end = time.monotonic() + 60
        while (folder / "picture.png").exists():
            assert time.monotonic() < end, "it stays"
            time.sleep(0.02)


def test_a_new_file_survives_the_sweeps(monkeypatch):
    sweeps = []

    def counted(folder, before):
        delete_old_files(folder, before)
        sweeps.append(before)

    monkeypatch.setattr(temp_files, "delete_old_files", counted)
    with private_temp_folder(ttl_s=3600.0, interval_s=0.001) as folder:
        (folder / "picture.png").touch()
        while len(sweeps) < 3:
            time.sleep(0.001)
        assert (folder / "picture.png").exists()


def test_files_are_deleted_within_two_hours():
    assert 0 < TEMP_FILE_TTL_S + SWEEP_INTERVAL_S <= 2 * 3600
