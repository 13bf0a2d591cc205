"""The rules of the house, read off the source: who may import whom, and where torch must not be needed."""

import ast
import dataclasses
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORDS = {
    f"wuerst_demo.{name}"
    for name in (
        *("errors", "request", "events", "arguments", "settings"),
        *("found", "png", "foreign", "metadata", "pairs", "paths", "pictures", "streams", "terminal"),
    )
} | {"wuerst_demo"}
ENGINE, MODEL, UI = "wuerst_demo.engine", "wuerst_demo.model", "wuerst_demo.ui"
HISTORY = "wuerst_demo.history"
API, ABOUT, TRAINING, BENCH = "wuerst_demo.api", "wuerst_demo.about", "wuerst_demo.training", "wuerst_demo.bench"

MAY = {
    "wuerst_demo": set(),
    ENGINE: {ENGINE, *WORDS},
    MODEL: {MODEL, *WORDS},
    HISTORY: {HISTORY, *WORDS},
    UI: {UI, HISTORY, *WORDS},
    API: {MODEL, ENGINE, *WORDS},
    ABOUT: {MODEL, *WORDS},
    TRAINING: {TRAINING, API, MODEL, *WORDS},
    BENCH: {BENCH, API, MODEL, ENGINE, *WORDS},
    "wuerst_demo.cli": {API, ABOUT, MODEL, TRAINING, *WORDS},
    "wuerst_demo.__main__": {"wuerst_demo.cli"},
    "app": {UI, HISTORY, API, ABOUT, MODEL, ENGINE, *WORDS},
    "tools": {"tools", *WORDS},
    **dict.fromkeys(WORDS - {"wuerst_demo"}, WORDS),
}
"""Room or module -> the rooms it may import from. The longest name that fits a module is its room."""

HEAVY = {"torch", "diffusers", "transformers", "compel", "accelerate", "peft", "xformers"}
NEVER = {
    **{word: HEAVY | {"gradio"} for word in WORDS},
    ENGINE: HEAVY | {"gradio"},
    HISTORY: HEAVY | {"gradio"},
    UI: HEAVY,
    MODEL: {"gradio"},
    TRAINING: {"gradio"},
    "wuerst_demo.cli": HEAVY | {"gradio"},
}
"""Room or module -> the libraries it never imports, not even inside a function."""

NOT_AT_ONCE = {
    "app": HEAVY,
    ABOUT: HEAVY,
    API: HEAVY,
    **{
        f"{MODEL}.{name}": HEAVY
        for name in ("files", "groups", "known", "source", "tree", "hub", "configs", "weights", "lora", "lorafile")
    },
}
"""Module -> the libraries it may import inside a function only, so that a mistake is answered before they load."""


@dataclasses.dataclass(frozen=True)
class Import:
    module: str
    target: str
    lazily: bool
    """Inside a function, or for types alone."""

    def __str__(self):
        return f"{self.module} imports {self.target}"


def within(name, room):
    return name == room or name.startswith(room + ".")


def room_of(name, rooms):
    """The most particular of `rooms` that `name` is in. "wuerst_demo" itself is a module, not a room."""
    fitting = [room for room in rooms if (name == room if room == "wuerst_demo" else within(name, room))]
    return max(fitting, key=len, default=None)


def sources():
    for path in [*ROOT.glob("wuerst_demo/**/*.py"), *ROOT.glob("tools/*.py"), *ROOT.glob("app.py")]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def modules():
    return {name for name, _ in sources()}


def imports(name, tree):
    def visit(node, lazily):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield Import(name, alias.name, lazily)
            case ast.ImportFrom():
                assert node.level == 0, f"{name} imports relatively"
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield Import(name, whole if whole in modules() else node.module, lazily)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                lazily = True
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                lazily = True
        for child in ast.iter_child_nodes(node):
            yield from visit(child, lazily)

    return list(visit(tree, False))


ALL = [each for name, path in sources() for each in imports(name, ast.parse(path.read_text(encoding="utf-8")))]


def ours(target):
    return within(target, "wuerst_demo") or within(target, "tools") or target == "app"


def test_every_module_stands_in_a_room():
    assert [name for name in modules() if room_of(name, MAY) is None] == []


def test_imports_go_down_only():
    wrong = [
        str(each) for each in ALL if ours(each.target) and room_of(each.target, MAY[room_of(each.module, MAY)]) is None
    ]
    assert wrong == []


def test_no_room_needs_a_library_it_should_not_know():
    wrong = [
        str(each)
        for each in ALL
        if (room := room_of(each.module, NEVER)) and each.target.partition(".")[0] in NEVER[room]
    ]
    assert wrong == []


def test_what_answers_mistakes_needs_no_torch_to_be_imported():
    wrong = [
        str(each)
        for each in ALL
        if not each.lazily
        and (room := room_of(each.module, NOT_AT_ONCE))
        and each.target.partition(".")[0] in NOT_AT_ONCE[room]
    ]
    assert wrong == []


def test_only_the_train_command_reaches_the_training_and_only_when_asked():
    reaching = {each for each in ALL if within(each.target, TRAINING) and not within(each.module, TRAINING)}
    assert {each.module for each in reaching} == {"wuerst_demo.cli"}
    assert all(each.lazily for each in reaching)


def test_nothing_reads_the_environment_or_starts_a_thread_on_import():
    def at_once(node):
        for child in ast.iter_child_nodes(node):
            main = isinstance(child, ast.If) and ast.unparse(child.test) == "__name__ == '__main__'"
            if not main and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield child
                yield from at_once(child)

    for name, path in sources():
        for node in at_once(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case (
                    ast.Attribute(attr="environ" | "getenv")
                    | ast.Call(func=ast.Attribute(attr="Thread") | ast.Name(id="Thread"))
                ):
                    pytest.fail(f"{name}, line {node.lineno}: an environment or a thread at import time")


def test_every_module_says_what_it_is_for():
    for name, path in sources():
        text = path.read_text(encoding="utf-8")
        if text.strip():
            assert ast.get_docstring(ast.parse(text)), f"{name} has no docstring"
