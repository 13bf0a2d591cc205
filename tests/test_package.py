"""The package: its requirements, its pins, and the wheel that `pip install .` builds."""

import os
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import httpx
import pytest

from tests.e2e.browser import page_process
from tests.fakes.server import free_port
from tools import constraints, requirements

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = (ROOT / "constraints.txt").read_text(encoding="utf-8")


def canonical(name):
    return re.sub(r"[_.]", "-", name).lower()


def test_every_requirement_is_pinned_and_every_pin_is_exact():
    lines = [line for line in PINS.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    pinned = {canonical(line.partition("==")[0]) for line in lines}
    wanted = [*PROJECT["dependencies"], *chain.from_iterable(PROJECT["optional-dependencies"].values())]
    assert [each for each in wanted if canonical(re.match(r"[\w.-]+", each)[0]) not in pinned] == []


def test_the_pins_are_in_order_and_without_local_parts():
    pins = constraints.pins()
    assert pins == sorted(pins, key=lambda pin: pin.partition("==")[0].lower())
    assert not any("+" in pin for pin in pins)


def test_requirements_txt_is_made_from_pyproject():
    assert (ROOT / "requirements.txt").read_text(encoding="utf-8") == requirements.requirements_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package as its wheel installs it; the libraries are this environment's."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return site


def run(installed, folder, *command):
    """The standard output of a command in another folder, with the installed package alone."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_holds_the_cocktail_the_page_and_the_types(installed):
    package = installed / "wuerst_demo"
    assert (package / "py.typed").exists()
    assert (package / "cocktail" / "wuerstchen" / "demo.json").exists()
    assert list((package / "web" / "static").glob("*.css"))
    assert not list(installed.glob("**/tests")), "tests are not for the wheel"


@pytest.mark.slow
def test_the_installed_command_generates_a_picture_from_another_folder(installed, tmp_path):
    command = [str(installed / "bin" / "wuerst"), "generate", "a cat", "--prior-steps", "1", "--decoder-steps", "1"]
    (path,) = run(installed, tmp_path, *command).splitlines()
    assert (tmp_path / path).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_installed_package_loads_the_cocktail_from_python(installed, tmp_path):
    code = "import wuerst_demo; print(wuerst_demo.__file__); print(wuerst_demo.load().limits.number('width').default)"
    file, width = run(installed, tmp_path, sys.executable, "-c", code).splitlines()
    assert Path(file).is_relative_to(installed)
    assert int(width) > 0


@pytest.mark.slow
def test_the_installed_page_opens_from_another_folder(installed, tmp_path):
    command = [str(installed / "bin" / "wuerst"), "page", "--port", str(free_port()), "--no-history"]
    with page_process(command, tmp_path, {"PYTHONPATH": str(installed)}) as address:
        assert httpx.get(address, timeout=60).status_code == 200
