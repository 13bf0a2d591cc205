"""Expansion of paths."""

from pathlib import Path

import pytest

from wuerst_demo.checkpoints import lora_file
from wuerst_demo.checkpoints.source import parse_source
from wuerst_demo.errors import CheckpointError, SettingsError
from wuerst_demo.paths import expand_user
from wuerst_demo.settings import Settings

UNKNOWN_HOME = "~nobody-of-this-name/pictures"


def test_tilde_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand_user("~/pictures") == tmp_path / "pictures"
    assert expand_user("pictures") == Path("pictures")
    assert Settings.read(["--output=~/pictures"], {}).output == str(tmp_path / "pictures")
    assert Settings.read([], {"WUERST_OUTPUT": "~/pictures"}).output == str(tmp_path / "pictures")


def test_unknown_home_is_rejected_in_one_line():
    with pytest.raises(SettingsError, match="--output must be a path; there is no user of that name"):
        Settings.read([f"--output={UNKNOWN_HOME}"], {})
    with pytest.raises(CheckpointError, match="--model must be a path"):
        parse_source(UNKNOWN_HOME)
    with pytest.raises(CheckpointError, match="--lora must be a path"):
        lora_file.find_loras([UNKNOWN_HOME], None)
