"""Fixtures of the LoRA tests: a checkpoint by its folder, and changes of its prior."""

from __future__ import annotations

import pytest

from tests.fakes.loras import random_changes


@pytest.fixture(scope="module")
def model(checkpoint_2023) -> str:
    return str(checkpoint_2023 / "wuerstchen")


@pytest.fixture(scope="module")
def changes(components):
    return random_changes(components.prior.state_dict())
