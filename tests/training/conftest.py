"""A whole training run at the smallest settings, shared by the slow tests."""

from pathlib import Path

import pytest

SMALL = ("--dial", "1", "--things", "4", "--scenes", "24", "--effort", "0.002", "--prompts", "8")
"""Options of the smallest run."""


@pytest.fixture(scope="session")
def small_options() -> list[str]:
    return list(SMALL)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run; its checkpoint is in "cocktail". Shared by all tests: do not change it."""
    from wuerst_demo.training.__main__ import main
    from wuerst_demo.training.data.render import EMOJI_FONT
    from wuerst_demo.training.tokenizer import WORD_LIST

    if not (EMOJI_FONT.exists() and WORD_LIST.exists()):
        pytest.skip("needs Debian's fonts-noto-color-emoji and wamerican")
    folder = tmp_path_factory.mktemp("run")
    stages = ["draw", "vqgan", "encoder", "together", "decoder", "words", "prior", "judge", "export"]
    assert main([*stages, *SMALL, "--folder", str(folder), "--export", str(folder / "cocktail")]) == 0
    return folder
