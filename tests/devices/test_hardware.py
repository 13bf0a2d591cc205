"""Hardware of this machine: memory, and what it can compute."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from wuerst_demo.devices.hardware import LOCAL_HARDWARE, cpu_name


def test_the_cpu_has_a_name_and_memory():
    memory = LOCAL_HARDWARE.memory("cpu")
    assert memory.name == f"the CPU ({cpu_name()})"
    assert 0 < memory.free_bytes <= memory.total_bytes


def test_a_cpu_computes_and_a_device_without_values_does_not():
    assert LOCAL_HARDWARE.check_matmul("cpu", "float32") == LOCAL_HARDWARE.check_resize("cpu") == ""
    assert LOCAL_HARDWARE.check_matmul("meta", "float32")
    assert LOCAL_HARDWARE.check_resize("meta")


@pytest.mark.skipif(importlib.util.find_spec("xformers") is not None, reason="xFormers is installed")
def test_missing_xformers_is_reported():
    assert LOCAL_HARDWARE.check_xformers("cpu", "float32") == "xFormers is not installed"


MEASURE = """
import json
import numpy as np
from wuerst_demo.devices.hardware import memory_usage
before = memory_usage("cpu")
held = np.ones(2**26, np.uint8)
print(json.dumps([before, memory_usage("cpu"), held.nbytes]))
"""


def test_memory_usage_grows_with_what_the_process_holds():
    # In a process of its own: in this one, memory of other tests comes and goes meanwhile.
    ended = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, timeout=120)
    before, after, held = json.loads(ended.stdout)
    assert after["process"] - before["process"] > held * 0.9
    assert set(before) == {"process"}
