"""Mutation testing: change one place of the code at a time, and count the changes that the quick tests notice.

    make mutants                        # 150 mutants, a new seed
    make mutants ARGS="--seed 7 --count 20 --only engine"

cosmic-ray makes the mutants; this draws a sample of them. One that differs only in annotations, docstrings, widths of
controls or zip's `strict` is not drawn, and one that `tests/equivalent_mutants.toml` lists with a reason does not
count. The module's own tests run first, then those of its folder, then all that are not slow. Prints the survivors as
diffs, then the score.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from cosmic_ray import plugins
from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

ROOT = Path(__file__).parent.parent
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.toml"
LOOK_ARGUMENTS = ("min_width", "scale")
"""Arguments of Gradio's components that only the eye can judge."""
TIMEOUT_S = 300
"""Seconds after which a mutant's tests count as having noticed it: it hangs."""


@dataclass(frozen=True)
class Mutant:
    """One changed place: the module's path, its text with the change, and the change as a diff."""

    path: Path
    code: str
    diff: str

    @property
    def change(self) -> str:
        """The removed and the added lines, without their indentation: what the list of equivalent mutants quotes."""
        lines = [line for line in self.diff.splitlines()[2:] if line[:1] in "+-"]
        return "\n".join(line[0] + line[1:].strip() for line in lines)


def operators() -> dict[str, list[Operator]]:
    """The mutation operators by kind. Those that replace one sign by another are one kind, so as not to crowd out
    the others."""
    kinds: dict[str, list[Operator]] = {}
    for name in sorted(plugins.operator_names()):
        if not name.startswith(("core/Variable", "core/RemoveDecorator")):  # they need arguments, or break the import
            kinds.setdefault(name.split("_")[0], []).append(plugins.get_operator(name)())
    return kinds


def places(path: Path) -> list[tuple[Path, list[tuple[Operator, int]]]]:
    """The places of a module that can be changed, each with the operators and occurrences that change it."""
    tree = get_ast(path.read_text(encoding="utf-8"))
    found: dict[tuple[str, int, int], list[tuple[Operator, int]]] = {}
    for kind, alike in operators().items():
        for operator in alike:
            for occurrence, (start, _) in enumerate(_positions(tree, operator)):
                found.setdefault((kind, *start), []).append((operator, occurrence))
    return [(path, changes) for changes in found.values()]


def _positions(node: object, operator: Operator) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    yield from operator.mutation_positions(node)
    for child in getattr(node, "children", ()):
        yield from _positions(child, operator)


def sample(paths: Sequence[Path], count: int, draw: random.Random) -> list[Mutant]:
    """So many mutants of different places, each of which changes what the module does when it runs."""
    everywhere = [place for path in paths for place in places(path)]
    draw.shuffle(everywhere)
    mutants: list[Mutant] = []
    for path, changes in everywhere:
        if len(mutants) == count:
            break
        operator, occurrence = draw.choice(changes)
        code = path.read_text(encoding="utf-8")
        try:
            changed = mutate_code(code, operator, occurrence)
        except AttributeError:  # cosmic-ray cannot replace the dotted name of an exception
            continue
        if changed is not None and _meaning(changed) not in ("", _meaning(code)):
            name = str(path.relative_to(ROOT))
            lines = difflib.unified_diff(code.splitlines(), changed.splitlines(), name, name, n=0, lineterm="")
            mutants.append(Mutant(path, changed, "\n".join(lines)))
    return mutants


def _meaning(code: str) -> str:
    """The syntax tree without annotations, docstrings, the look of controls, and zip's `strict`, which only guards
    against mistakes elsewhere; "" for code that cannot be parsed."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
        elif isinstance(node, ast.Call):
            silent = {*LOOK_ARGUMENTS, *(("strict",) if ast.unparse(node.func) == "zip" else ())}
            node.keywords = [each for each in node.keywords if each.arg not in silent]
    return ast.dump(tree)


def equivalents() -> list[dict[str, str]]:
    """The mutants that `tests/equivalent_mutants.toml` lists, each with its file, change and reason."""
    listed: list[dict[str, str]] = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["mutant"]
    return listed


def tests_of(path: Path, near: bool) -> list[list[str]]:
    """The runs of pytest to try one after another: the module's own tests, its folder's, and all unless `near`."""
    mirror = ROOT / "tests" / path.relative_to(ROOT / "wuerst_demo").parent
    own = mirror / f"test_{path.stem}.py"
    runs = [[str(each.relative_to(ROOT))] for each in (own, mirror) if each.exists() and each != ROOT / "tests"]
    return runs if near and runs else [*runs, ["tests"]]


def is_noticed(mutant: Mutant, copies: SimpleQueue[Path], near: bool) -> bool:
    """Whether a quick test fails on the mutant, in one of the copies of the project."""
    copy = copies.get()
    target = copy / mutant.path.relative_to(ROOT)
    original = target.read_text(encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        target.write_text(mutant.code, encoding="utf-8")
        for tests in tests_of(mutant.path, near):
            options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", "--timeout", "120"]
            command = [sys.executable, "-m", "pytest", *options, *tests]
            try:
                done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                return True
            if done.returncode not in (0, 5):  # 5: no tests
                return True
        return False
    finally:
        target.write_text(original, encoding="utf-8")
        copies.put(copy)


def copy_project(folder: Path) -> Path:
    """A copy of the project whose code can be changed; its assets are links."""
    folder.mkdir()
    for name in ("wuerst_demo", "tests", "tools", "docs"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if not (folder / path.name).exists() and not path.name.startswith(".git"):
            (folder / path.name).symlink_to(path)
    return folder


def main(argv: Sequence[str]) -> int:
    """Draw, try, report."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=150, help="how many mutants to draw (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the sample; printed")
    parser.add_argument("--only", default="", help="a folder or module of wuerst_demo, such as engine")
    parser.add_argument("--near", action="store_true", help="leave out the tests of other folders: quicker, stricter")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time (default: %(default)s)")
    given = parser.parse_args(argv)
    print(f"Seed {given.seed}", flush=True)
    package = ROOT / "wuerst_demo"
    paths = sorted(path for path in package.rglob("*.py") if str(path.relative_to(package)).startswith(given.only))
    mutants = sample(paths, given.count, random.Random(given.seed))
    equivalent = {(str(ROOT / each["file"]), each["change"].strip()) for each in equivalents()}
    counted = [mutant for mutant in mutants if (str(mutant.path), mutant.change) not in equivalent]
    noticed = 0
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(given.workers) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for k in range(given.workers):
            copies.put(copy_project(Path(temporary) / str(k)))
        for mutant, found in zip(
            counted, pool.map(partial(is_noticed, copies=copies, near=given.near), counted), strict=True
        ):
            noticed += found
            if not found:
                print(f"\nNot noticed:\n{mutant.diff}", flush=True)
    score = noticed / len(counted) if counted else 1.0
    print(f"\n{noticed} of {len(counted)} mutants noticed ({score:.1%}); {len(mutants) - len(counted)} equivalent.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
