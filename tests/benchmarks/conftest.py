from __future__ import annotations

import json

import pytest

from wuerst_demo.benchmarks.random_checkpoint import PUBLISHED_CONFIGS


@pytest.fixture(scope="module")
def tiny(checkpoint_2023):
    """Configs of the 2023 checkpoint's networks, small enough for a test, with the shipped tokenizers' vocabulary."""
    configs = {
        folder: json.loads((checkpoint_2023 / folder / "config.json").read_text()) for folder in PUBLISHED_CONFIGS
    }
    for config in configs.values():
        for name in [name for name in config if name.startswith("_")]:
            del config[name]
        if "vocab_size" in config:
            config["vocab_size"] = 4096
    return configs
