"""Shared fixtures. Torch is imported only by those that need it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from wuerst_demo.devices import bfloat16
from wuerst_demo.devices.hardware import cpu_name
from wuerst_demo.paths import user_cache_folder

# No deadline for examples: a busy machine is slow, not wrong. pyproject.toml has the timeout of a test.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# The user's cache, for example of preview maps, is not touched by tests.
_CACHE = tempfile.TemporaryDirectory(prefix="wuerst-tests-", ignore_cleanup_errors=True)
os.environ["XDG_CACHE_HOME"] = _CACHE.name

# Networks run in float32 where a test requests no other dtype, also in programs that it starts.
_MEASURED = user_cache_folder(os.environ) / bfloat16.CACHE_FILENAME
_MEASURED.parent.mkdir()
_MEASURED.write_text(json.dumps({bfloat16.cache_key(cpu_name()): 0.5}))

FIXTURES = Path(__file__).parent / "fixtures"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: two processes share the tests by file, and short ones even out the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def checkpoint_2023() -> Path:
    """The folder with `wuerstchen/` and `wuerstchen-prior/` as the 2023 libraries wrote them, and their cases."""
    return FIXTURES / "checkpoint-2023"


@pytest.fixture(scope="session")
def cases_2023(checkpoint_2023) -> list[dict]:
    """Requests of the 2023 libraries; their images are in `case<k>.npz` beside it."""
    return json.loads((checkpoint_2023 / "cases.json").read_text())["cases"]


@pytest.fixture(scope="session")
def resolved(checkpoint_2023):
    """The 2023 checkpoint, found and verified on disk."""
    from wuerst_demo.checkpoints.resolve import resolve_checkpoint

    return resolve_checkpoint(str(checkpoint_2023 / "wuerstchen"))


@pytest.fixture(scope="session")
def components(resolved):
    """The 2023 checkpoint's components, loaded in float32 on the CPU. Shared by all tests: do not change them."""
    from wuerst_demo.devices.placement import decide_placement
    from wuerst_demo.networks.loader import load_components
    from wuerst_demo.placement_options import PlacementOptions

    return load_components(resolved, decide_placement(PlacementOptions("cpu")))


@pytest.fixture(scope="session")
def cascade(components, resolved):
    """The 2023 checkpoint's cascade, on the CPU."""
    from wuerst_demo.pipeline.cascade import Cascade

    return Cascade(components, resolved.info.limits)
