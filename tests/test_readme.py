"""The README says what the code does."""

import contextlib
import re
from pathlib import Path

import pytest

from tools import constraints, readme
from wuerst_demo import __version__
from wuerst_demo.request import DESCRIPTIONS
from wuerst_demo.settings import OPTIONS, flag, variable

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_declarations():
    assert readme.made(TEXT) == TEXT, "run `make readme`"


def test_every_setting_and_option_is_in_a_table():
    for name, description in DESCRIPTIONS.items():
        assert f"| {description.label} |" in TEXT
        assert name == "prompt" or description.help in TEXT
    for name in OPTIONS:
        assert f"`{flag(name)}" in TEXT
        assert f"`{variable(name)}`" in TEXT


def test_a_missing_mark_is_an_error_and_not_a_missing_table():
    with pytest.raises(ValueError, match="no place"):
        readme.made(TEXT.replace("<!-- made: request -->", ""))


def test_every_module_and_room_is_in_the_tree():
    rooms = [path for path in (ROOT / "wuerst_demo").iterdir() if path.is_dir() and (path / "__init__.py").exists()]
    modules = [path for path in (ROOT / "wuerst_demo").glob("*.py") if path.name != "__init__.py"]
    for path in [*rooms, *modules]:
        assert re.search(rf"\b{re.escape(path.name)}\b", TEXT), path.name


def test_every_file_it_points_to_is_there():
    pointed = re.findall(r"`((?:wuerst_demo|assets|tests|tools)/[\w./-]+)`", TEXT)
    assert len(pointed) > 10
    assert [path for path in pointed if not (ROOT / path).exists()] == []
    linked = re.findall(r"\]\((?!https:)([^)]+)\)", TEXT)
    assert [path for path in linked if not (ROOT / path).exists()] == []


def test_the_space_gets_the_version_of_gradio_that_is_tested():
    assert f"\ngradio=={re.search(r'sdk_version: (.+)', TEXT)[1]}\n" in CONSTRAINTS


def test_every_requirement_is_pinned_and_every_pin_is_exact():
    lines = [line for line in CONSTRAINTS.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    pinned = {re.sub(r"[_.]", "-", line.partition("==")[0]).lower() for line in lines}
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / file).read_text().splitlines():
            if name := re.match(r"[\w.-]+", line):
                assert re.sub(r"[_.]", "-", name[0]).lower() in pinned, name[0]


def test_the_pins_are_in_order_and_without_local_parts():
    pins = constraints.pins()
    assert pins == sorted(pins, key=lambda pin: pin.partition("==")[0].lower())
    assert not any("+" in pin for pin in pins)


def test_every_target_of_the_makefile_is_explained_in_it():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"\.PHONY: (.+)", makefile)[1].split()
    head = makefile.partition("SHELL")[0]
    assert [target for target in targets if target not in ("help",) and f"make {target}" not in head] == []


def test_the_project_has_one_version():
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "assets" / "cocktail").exists(), reason="the shipped checkpoint is not here")
def test_the_python_of_the_readme_runs(tmp_path):
    code, _ = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)  # tests/e2e/test_examples.py runs the second one
    with contextlib.chdir(tmp_path):
        exec(code, {})
    assert [path.name for path in tmp_path.iterdir()] == ["7.png"]
