"""The train command: options, stages and reports."""

from pathlib import Path

import pytest

from wuerst_demo.errors import SettingsError, SetupError
from wuerst_demo.training.__main__ import STAGES, main
from wuerst_demo.training.config import CPU_STAGES
from wuerst_demo.training.evaluation.evaluate import METRICS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["paint"], "no stage 'paint'"),
        (["--things", "0"], "--things 1 to"),
        (["--things", "999"], "--things 1 to"),
        (["--minutes", "0"], "--minutes above 0"),
        (["--effort", "x"], "invalid float value"),
        (["--rate", "0"], "--rate must be above 0"),
        (["--round", "-1"], "--round 0 to"),
    ],
)
def test_invalid_options_are_rejected_in_one_line(options, message):
    with pytest.raises(SettingsError, match=message) as raised:
        main(options)
    assert "\n" not in str(raised.value)


def test_the_stages_that_train_are_those_with_settings():
    trained = set(STAGES) - {"draw", "export", "colours", "evaluate", "sheet", "figures"} | {"distil", "vqgan-decoder"}
    assert trained == set(CPU_STAGES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("--things", "3", "with 4 things, not 3"),
        ("--scenes", "32", "with 24 scenes, not 32"),
        ("--effort", "0.0004", "scenes for the prior, not "),
    ],
)
def test_images_of_other_settings_are_rejected(trained: Path, small_options, name, value, message):
    with pytest.raises(SetupError, match=message):
        main(["vqgan", *small_options, "--folder", str(trained), name, value])


@pytest.mark.slow
def test_the_evaluation_prints_its_table_and_saves_it(trained: Path, small_options, capsys):
    options = ["evaluate", *small_options, "--folder", str(trained), "--export", str(trained / "cocktail")]
    assert main(options) == 0
    printed = capsys.readouterr().out
    assert printed == (trained / "evaluate.md").read_text()
    for metric in METRICS:
        (row,) = [row for row in printed.splitlines() if row.startswith(f"| {metric.name} |")]
        assert row.count("%") == 4
