"""Fixtures that several rooms share. Torch and the model rooms are imported only by the fixtures that need them."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow, not wrong: no example has a deadline, and the tests' own limit stands in pyproject.toml.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# What programs keep for their user (the colours of previews, say) the tests keep to themselves.
_CACHE = tempfile.TemporaryDirectory(prefix="wuerst-tests-", ignore_cleanup_errors=True)
os.environ["XDG_CACHE_HOME"] = _CACHE.name

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def checkpoint_2023() -> Path:
    """The folder with `wuerstchen/` and `wuerstchen-prior/` as the 2023 libraries wrote them, and their cases."""
    return FIXTURES / "checkpoint-2023"


@pytest.fixture(scope="session")
def cases_2023(checkpoint_2023) -> list[dict]:
    """What the 2023 libraries were asked; the arrays they drew for case k are in `case<k>.npz` beside it."""
    return json.loads((checkpoint_2023 / "cases.json").read_text())["cases"]


@pytest.fixture(scope="session")
def located(checkpoint_2023):
    """The 2023 checkpoint, found and verified on disk."""
    from wuerst_demo.model.files import locate

    return locate(str(checkpoint_2023 / "wuerstchen"))


@pytest.fixture(scope="session")
def parts(located):
    """The 2023 checkpoint's parts, loaded in float32 on the CPU. Shared by all tests: do not change them."""
    from wuerst_demo.model.checkpoint import load_parts
    from wuerst_demo.model.placement import decide

    return load_parts(located, decide("cpu"))


@pytest.fixture(scope="session")
def cascade(parts, located):
    """The 2023 checkpoint's cascade, on the CPU."""
    from wuerst_demo.model.cascade import Cascade
    from wuerst_demo.model.known import limits_of

    return Cascade(parts, limits_of(located))
