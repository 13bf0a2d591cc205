"""The public names of the package."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import wuerst_demo

SOURCE = ast.parse(Path(wuerst_demo.__file__).read_text(encoding="utf-8"))
DECLARED = {
    alias.name: node.module
    for node in ast.walk(SOURCE)
    if isinstance(node, ast.ImportFrom) and node.module.startswith("wuerst_demo.")
    for alias in node.names
}
"""Public name -> the module that a type checker finds it in."""


def test_all_lists_what_type_checkers_see_in_order():
    assert wuerst_demo.__all__ == sorted(DECLARED)
    assert set(wuerst_demo.__all__) <= set(dir(wuerst_demo))


@pytest.mark.parametrize("name", wuerst_demo.__all__)
def test_public_name_is_the_one_of_its_module(name):
    module = sys.modules.get(DECLARED[name]) or __import__(DECLARED[name], fromlist=[name])
    assert getattr(wuerst_demo, name) is getattr(module, name)


def test_other_names_are_missing():
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        _ = wuerst_demo.lode


def test_package_is_marked_as_typed():
    assert (Path(wuerst_demo.__file__).parent / "py.typed").is_file()


def test_importing_every_public_name_imports_no_heavy_library():
    program = (
        "import sys; from wuerst_demo import *; load; print(sorted({'torch', 'numpy', 'gradio'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_importing_the_package_imports_nothing_else_of_it():
    program = "import sys, wuerst_demo; print([name for name in sys.modules if name.startswith('wuerst_demo.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
