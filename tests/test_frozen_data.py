"""Data is frozen: nobody changes what somebody else holds."""

from __future__ import annotations

import ast
from pathlib import Path

import wuerst_demo

PACKAGE = Path(wuerst_demo.__file__).parent
MUTABLE = {
    "benchmarks.fleet_load._EventCounter": "counts",
    "engine.request_state.WorkItem": "the scheduler moves it on, a thousand times a second",
    "fleet.replica.Replica": "the present state of a process",
    "fleet.request.FleetImage": "where an image is, while it moves",
    "fleet.server._OpenJob": "how far its events have been reported",
    "fleet.server._Recorder": "collects events",
    "images.image_texts.ImageTexts": "collects texts",
    "training.trainer.TrainingStage": "its modules learn",
    "web.generate.sessions._Generation": "what its reader has seen",
}
"""Dataclasses that are not frozen, and why."""


def dataclass_options(node):
    """The options of a class's @dataclass; None if it has none."""
    for each in node.decorator_list:
        called = each.func if isinstance(each, ast.Call) else each
        if (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) == "dataclass":
            return {key.arg: ast.literal_eval(key.value) for key in getattr(each, "keywords", [])}
    return None


def test_dataclasses_are_frozen_but_those_with_a_reason():
    mutable, count = set(), 0
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and (options := dataclass_options(node)) is not None:
                count += 1
                if not options.get("frozen"):
                    mutable.add(f"{module}.{node.name}")
    assert count > 100
    assert mutable == MUTABLE.keys()
