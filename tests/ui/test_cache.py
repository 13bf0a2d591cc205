"""The folder of the files that pages serve."""

import os
import shutil
import stat
import time

from wuerst_demo.ui.cache import EVERY, KEPT, own_cache, sweep


def test_the_files_of_pages_lie_in_a_folder_that_others_cannot_read_and_that_goes_with_them():
    before = os.environ.get("GRADIO_TEMP_DIR")
    with own_cache() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "picture.png").touch()
    assert not folder.exists()
    assert os.environ.get("GRADIO_TEMP_DIR") == before


def test_old_files_go_and_folders_once_they_are_empty(tmp_path):
    old = tmp_path / "1f" / "picture.png"
    old.parent.mkdir()
    old.touch()
    copied = tmp_path / "2f" / "picture.png"
    copied.parent.mkdir()
    os.utime(old, (0, 0))
    shutil.copy2(old, copied)  # as old as what it is a copy of, for who asks when it was changed
    sweep(tmp_path, time.time() - 60)
    assert old.exists()
    assert copied.exists()
    sweep(tmp_path, time.time() + 60)
    assert list(tmp_path.iterdir()) == []


def test_while_a_page_is_open_its_old_files_go_by_themselves():
    with own_cache(kept=0.0, every=0.02) as folder:
        (folder / "picture.png").touch()
        end = time.monotonic() + 60
        while (folder / "picture.png").exists():
            assert time.monotonic() < end, "it stays"
            time.sleep(0.02)


def test_what_visitors_drew_or_dropped_is_deleted_within_two_hours():
    assert 0 < KEPT + EVERY <= 2 * 3600
