"""The short form of `make chaos`: a minute on a cluster in which everything fails."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed")
def test_every_request_ends_once_with_its_own_pictures_whatever_fails():
    # In a process of its own: Ray reads the secret of a cluster once.
    command = [sys.executable, "-m", "tests.fleet.chaos", "--requests", "150", "--people", "32", "--interval", "1.5"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "requests=150, wrong=[]" in done.stdout
    assert int(re.search(r"moved=(\d+)", done.stdout)[1]) > 0
