"""Paths as people write them."""

from pathlib import Path

import pytest

from wuerst_demo.errors import CheckpointError, SettingsError
from wuerst_demo.model import lorafile
from wuerst_demo.model.source import parse
from wuerst_demo.paths import expanded
from wuerst_demo.settings import Settings

NOBODY = "~nobody-of-this-name/pictures"


def test_a_tilde_is_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/pictures") == tmp_path / "pictures"
    assert expanded("pictures") == Path("pictures")
    assert Settings.read(["--output=~/pictures"], {}).output == str(tmp_path / "pictures")
    assert Settings.read([], {"WUERST_OUTPUT": "~/pictures"}).output == str(tmp_path / "pictures")


def test_the_home_of_nobody_is_refused_in_one_line():
    with pytest.raises(SettingsError, match="--output must be a path; ~NAME is nobody's home here"):
        Settings.read([f"--output={NOBODY}"], {})
    with pytest.raises(CheckpointError, match="--model must be a path"):
        parse(NOBODY)
    with pytest.raises(CheckpointError, match="--lora must be a path"):
        lorafile.find([NOBODY], None)
