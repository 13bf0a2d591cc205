"""The rules of the house, read off the source: who may import whom, and where torch must not be needed."""

import ast
import dataclasses
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORDS = (
    *("errors", "messages", "fields", "redraw_mask", "variation", "request", "timesteps", "events", "paths"),
    *("options", "settings", "placement_options", "compatibility", "prompt_lines"),
)
"""The modules everybody may import."""
LAYERS = {
    "checkpoints": (),
    "devices": ("checkpoints",),
    "networks": ("devices", "checkpoints"),
    "prompts": ("networks", "devices", "checkpoints"),
    "pipeline": ("prompts", "networks", "devices", "checkpoints"),
    "engine": (),
    "fleet": ("engine",),
    "images": (),
    "history": ("images",),
    "web": ("fleet", "engine", "history", "images", "checkpoints.capabilities", "checkpoints.registry", "cli.stdio"),
    "api": ("engine", "pipeline", "prompts", "networks", "devices", "checkpoints"),
    "training": ("api", "pipeline", "prompts", "networks", "devices", "checkpoints", "images"),
    "benchmarks": ("api", "fleet", "engine", "pipeline", "prompts", "networks", "devices", "checkpoints", "images"),
    "cli.fleet": ("cli.replica", "cli.info", "api", "fleet", "engine", "checkpoints", "web.middleware.safe_log"),
    "cli.replica": ("cli.info", "api", "fleet", "engine", "devices", "web.middleware.safe_log"),
    "cli.page": ("cli", "web", "history", "images", "api", "fleet", "engine", "devices", "checkpoints"),
    "cli": ("api", "fleet", "engine", "images", "prompts", "devices", "checkpoints", "training", "benchmarks"),
    "__main__": ("cli",),
}
"""Package or module of wuerst_demo -> those below it that it may import, beside itself and the words."""


def named(*names):
    return {f"wuerst_demo.{name}" for name in names}


MAY = {
    "wuerst_demo": named("api", *WORDS),
    **{f"wuerst_demo.{name}": named(name, *below, *WORDS) | {"wuerst_demo"} for name, below in LAYERS.items()},
    **{f"wuerst_demo.{word}": named(*WORDS) | {"wuerst_demo"} for word in WORDS},
    "app": named("cli"),
    "tools": {"tools", "wuerst_demo", *named("api", "checkpoints", "images", "prompts", "web", *WORDS)},
}
TRAINING = "wuerst_demo.training"

HEAVY = {"torch", "diffusers", "transformers", "compel", "accelerate", "peft", "xformers"}
NEVER = {
    **{
        word: HEAVY | {"gradio"} for word in named(*WORDS, "engine", "fleet", "history", "images", "cli", "checkpoints")
    },
    **{room: {"gradio"} for room in named("devices", "networks", "prompts", "pipeline", "training")},
    "wuerst_demo.web": HEAVY,
}
"""Package or module -> the libraries it never imports, not even inside a function."""

RAY = {"wuerst_demo.fleet.ray_cluster", "wuerst_demo.fleet.cluster_probe"}
"""The only modules that import ray."""
RAY_FLEETS = RAY | {"wuerst_demo.fleet.driver_launcher", "wuerst_demo.fleet.ray_driver"}
"""Modules that nothing else imports before a flag asks for them."""

NOT_AT_ONCE = {"wuerst_demo.cli.page": HEAVY, "wuerst_demo.api": HEAVY, "wuerst_demo.devices.cgroups": HEAVY}
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


def circles(edges):
    """The groups of modules that import each other, directly or not."""
    reach = {}

    def reached(start):
        seen, ahead = set(), [start]
        while ahead:
            for target in edges.get(ahead.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    ahead.append(target)
        return seen

    for module in edges:
        reach[module] = reached(module)
    return {
        frozenset({module, *(other for other in reach[module] if module in reach.get(other, ()))})
        for module in edges
        if module in reach[module]
    }


def test_no_modules_import_each_other_in_a_circle():
    edges = {}
    for each in ALL:
        if each.target in modules() and each.target != each.module:
            edges.setdefault(each.module, set()).add(each.target)
    assert circles(edges) == set()


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
    assert {each.module for each in reaching} == {"wuerst_demo.cli.main"}
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


def test_nothing_imports_ray_unless_a_flag_asks_for_it():
    assert {each.module for each in ALL if within(each.target, "ray")} == RAY
    assert [str(each) for each in ALL if within(each.target, "ray") and not each.lazily] == []
    at_once = [each for each in ALL if not each.lazily and each.module not in RAY_FLEETS]
    assert [str(each) for each in at_once if each.target in RAY_FLEETS] == []
