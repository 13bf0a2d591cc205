"""The Ray transport, in processes of their own, which are alone on the machine's Ray. Skipped without ray."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed")
@pytest.mark.parametrize("module", ["ray_actors", "ray_addresses"])
def test_replicas_on_ray_generate_as_one_engine_and_survive_failures(module):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/fleet/{module}.py"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
