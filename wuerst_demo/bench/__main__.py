"""`python -m wuerst_demo.bench`: our loop against the stock pipelines of diffusers, on the same weights, side by side.

Runs of the two alternate, so that whatever else the machine does meets both. Prints a table and one last line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence

from wuerst_demo import arguments
from wuerst_demo.errors import SettingsError, WuerstError
from wuerst_demo.settings import Group, Settings

_GROUPS: tuple[Group, ...] = ("model", "placement")
_SECTION = "Benchmark"
_FLAGS = (
    arguments.Flag(
        "--size", "size", "Pixels of each side. Without it: the checkpoint's default.", "N", section=_SECTION
    ),
    arguments.Flag(
        "--steps", "steps", "Evaluations of the prior, and of the decoder.", "PRIOR,DECODER", section=_SECTION
    ),
    arguments.Flag("--repeat", "repeat", "Pairs of runs. Default: 7.", "N", section=_SECTION),
)


def main(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Measure and print; 0, or 2 with one line for a mistake."""
    try:
        flags = [*_FLAGS, *Settings.flags(_GROUPS)]
        given = arguments.read(argv, flags)
        if given.help:
            sys.stdout.write(f"python -m wuerst_demo.bench [options]\n\n{arguments.described(flags)}\n")
            return 0
        if given.words:
            raise SettingsError("bench takes options only; --help lists them.")
        settings = Settings.of(given.texts, env, _GROUPS)
        values: dict[str, int] = {}
        if "size" in given.texts:
            values["width"] = values["height"] = _whole("--size", given.texts["size"])
        if "steps" in given.texts:
            values["prior_steps"], values["decoder_steps"] = _pair("--steps", given.texts["steps"])
        repeat = _whole("--repeat", given.texts.get("repeat", "7"))
        for library in ("TRANSFORMERS", "DIFFUSERS"):
            # Read when they are imported: what they warn of would stand between the table's lines.
            os.environ.setdefault(f"{library}_VERBOSITY", "error")
        from wuerst_demo.bench.compare import compare

        comparison = compare(settings, values, repeat)
    except WuerstError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{comparison.table()}\n{json.dumps(comparison.facts(), ensure_ascii=False)}\n")
    return 0


def _whole(flag: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= len(text) <= 6 or int(text) < 1:
        raise SettingsError(f"{flag} must be a whole number from 1 to 999999.")
    return int(text)


def _pair(flag: str, text: str) -> tuple[int, int]:
    first, comma, second = text.partition(",")
    if not comma:
        raise SettingsError(f"{flag} takes two numbers with a comma between them, as in {flag} 29,12.")
    return _whole(flag, first), _whole(flag, second)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
