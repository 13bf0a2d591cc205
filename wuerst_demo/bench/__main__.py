"""`python -m wuerst_demo.bench [crowd] [options]`: our loop against the stock pipelines of diffusers, side by side.

Without a word: one request, drawn by both in turn, so that whatever else the machine does meets both. With `crowd`: the
same crowds of people, served by both. Same weights, same machine, one run. Prints a table and one last line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence

from wuerst_demo import arguments
from wuerst_demo.arguments import Flag, Given
from wuerst_demo.bench.given import pair, whole
from wuerst_demo.engine.rows import ROWS_AT_ONCE
from wuerst_demo.errors import SettingsError, WuerstError
from wuerst_demo.settings import Group, Settings

_GROUPS: tuple[Group, ...] = ("model", "placement")
_SECTION = "Benchmark"
_BOTH = (
    Flag("--size", "size", "Pixels of each side. Without it: the checkpoint's default.", "N", section=_SECTION),
    Flag("--steps", "steps", "Evaluations of the prior, and of the decoder.", "PRIOR,DECODER", section=_SECTION),
)
_ONE = (*_BOTH, Flag("--repeat", "repeat", "Pairs of runs. Default: 7.", "N", section=_SECTION))
_CROWD = (
    *_BOTH,
    Flag("--people", "people", "How many come. Default: 1,2,4,8,16.", "N,N,...", section=_SECTION),
    Flag(
        "--loads",
        "loads",
        "How they come: 0 is at once, N a Poisson stream at N % of what stock can carry. Default: 0,50,80,120.",
        "N,N,...",
        section=_SECTION,
    ),
    Flag(
        "--shapes",
        "shapes",
        "same: all ask for one size; mixed: for three that cannot share a forward pass. Default: same,mixed.",
        "S,S",
        section=_SECTION,
    ),
    Flag("--repeat", "repeat", "How often each crowd comes. Default: 1.", "N", section=_SECTION),
    Flag("--rows", "rows", f"Rows of a forward pass, at most. Default: {ROWS_AT_ONCE}.", "N", section=_SECTION),
)


def main(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Measure and print; 0, or 2 with one line for a mistake."""
    crowd = list(argv[:1]) == ["crowd"]
    try:
        flags = [*(_CROWD if crowd else _ONE), *Settings.flags(_GROUPS)]
        given = arguments.read(argv[1:] if crowd else argv, flags)
        if given.help:
            sys.stdout.write(f"python -m wuerst_demo.bench [crowd] [options]\n\n{arguments.described(flags)}\n")
            return 0
        if given.words:
            raise SettingsError("bench takes options only, but for crowd as its first word; --help lists them.")
        settings = Settings.of(given.texts, env, _GROUPS)
        for library in ("TRANSFORMERS", "DIFFUSERS"):
            # Read when they are imported: what they warn of would stand between the table's lines.
            os.environ.setdefault(f"{library}_VERBOSITY", "error")
        facts = _many(given, settings) if crowd else _one(given, settings)
    except WuerstError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    _say(json.dumps(facts, ensure_ascii=False))
    return 0


def _one(given: Given, settings: Settings) -> dict[str, object]:
    values, repeat = _values(given), whole("--repeat", given.texts.get("repeat", "7"))
    from wuerst_demo.bench.compare import compare

    comparison = compare(settings, values, repeat)
    _say(comparison.table())
    return comparison.facts()


def _many(given: Given, settings: Settings) -> dict[str, object]:
    texts, values = given.texts, _values(given)
    people = [whole("--people", each) for each in texts.get("people", "1,2,4,8,16").split(",")]
    loads = [0 if each == "0" else whole("--loads", each) for each in texts.get("loads", "0,50,80,120").split(",")]
    shapes = texts.get("shapes", "same,mixed").split(",")
    if not set(shapes) <= {"same", "mixed"}:
        raise SettingsError("--shapes takes same, mixed, or both with a comma between them.")
    repeat = whole("--repeat", texts.get("repeat", "1"))
    rows = whole("--rows", texts.get("rows", str(ROWS_AT_ONCE)))
    from wuerst_demo.bench.crowd import Plan, crowds
    from wuerst_demo.bench.report import Setting

    facts: dict[str, object] = {}
    served: list[dict[str, object]] = []
    for each in crowds(settings, values, Plan(people, loads, shapes, repeat), rows):
        _say("\n".join(each.lines()))
        if isinstance(each, Setting):
            facts = each.facts()
        else:
            served.append(each.facts())
    return {**facts, "crowds": served}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _values(given: Given) -> dict[str, int]:
    """What is asked for, where it is not the checkpoint's default."""
    values: dict[str, int] = {}
    if "size" in given.texts:
        values["width"] = values["height"] = whole("--size", given.texts["size"])
    if "steps" in given.texts:
        values["prior_steps"], values["decoder_steps"] = pair("--steps", given.texts["steps"])
    return values


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
