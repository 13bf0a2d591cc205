"""Generates the tables of README.md and docs/ from the declarations, between `<!-- generated: NAME -->` marks.

python -m tools.doc_tables
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tools.option_coverage import COVERAGE_NOTES, coverage_of
from wuerst_demo.compatibility import CONFLICTS, OPTION_VALUES, OptionValue
from wuerst_demo.fields import allowed_values, format_default
from wuerst_demo.options import Option, env_variable, flag_name, request_flag
from wuerst_demo.request import DESCRIPTIONS
from wuerst_demo.settings import OPTION_GROUP_TITLES, OPTIONS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "wuerst_demo"
_LIMIT_NAME = re.compile(r"^_?(?:MAX|MIN)_|_(?:S|PX|BYTES|CHARS|LINES|ENTRIES|WINDOW|SHARE|FACTOR)$")


def request_table() -> str:
    """Every field of a request."""
    rows = ["| | option | meaning | allowed | default |", "|---|---|---|---|---|"]
    for name, each in DESCRIPTIONS.items():
        given = '`"PROMPT"`' if name == "prompt" else f"`{request_flag(name)}`"
        rows.append(f"| {each.label} | {given} | {each.help} | {allowed_values(each)} | {format_default(each)} |")
    return "\n".join(rows)


def settings_tables() -> str:
    """Every option of the program, one table for each group."""
    tables = []
    for group, title in OPTION_GROUP_TITLES.items():
        rows = [f"| {title} | variable | meaning | default |", "|---|---|---|---|"]
        rows += [_option_row(name, option) for name, option in OPTIONS.items() if option.group == group]
        tables.append("\n".join(rows))
    return "\n\n".join(tables)


def conflict_list() -> str:
    """Options that exclude each other, one line for each reason."""
    lines = []
    for reason in dict.fromkeys(CONFLICTS.values()):
        pairs = [pair for pair, why in CONFLICTS.items() if why == reason]
        shared = frozenset.intersection(*pairs)
        first = shared if len(pairs) > 1 else {min(pairs[0], key=list(_choices()).index)}
        others = sorted(frozenset.union(*pairs) - first, key=list(_choices()).index)
        *commas, last = map(_spell, others)
        spelled = f"{', '.join(commas)} or {last}" if commas else last
        lines.append(f"- {' '.join(map(_spell, first))} with {spelled}. {reason}")
    return "\n".join(lines)


def compatibility_matrix() -> str:
    """Every two option values: whether they work together, and how that is tested."""
    options = list(OPTION_VALUES)
    columns = [choice for choice in _choices() if choice[0] != options[0]]
    rows = ["| | " + " | ".join(_spell(each, short=True) for each in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    used = set[str]()
    reasons = list(dict.fromkeys(CONFLICTS.values()))
    for row in _choices():
        if row[0] == options[-1]:
            continue
        cells = []
        for column in columns:
            cell = ""
            if options.index(column[0]) > options.index(row[0]):
                cell = coverage_of(row, column)
                if reason := CONFLICTS.get(frozenset({row, column})):
                    cell = f"rejected {reasons.index(reason) + 1}"
            used.add(cell)
            cells.append(cell)
        rows.append(f"| {_spell(row, short=True)} | {' | '.join(cells)} |")
    notes = [f"- {word}: {meaning}" for word, meaning in COVERAGE_NOTES.items() if word in used]
    notes += [f"- rejected {number}: {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*rows, "", *notes])


def limits_table() -> str:
    """Every bound, time and size that the program keeps to, from the modules' constants."""
    rows = ["| limit | value | meaning | where |", "|---|--:|---|---|"]
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE).as_posix()
        if not where.startswith(("training/", "benchmarks/")):
            rows += [f"| `{name}` | {value:,} | {meaning} | `{where}` |" for name, value, meaning in _limits(path)]
    return "\n".join(rows)


def _limits(path: Path) -> Iterator[tuple[str, float, str]]:
    """Name, value and meaning of a module's numbers that are a limit by their name."""
    lines = ast.parse(path.read_text(encoding="utf-8")).body
    known: dict[str, Any] = {}
    for line, following in zip_longest(lines, lines[1:]):
        if not isinstance(line, ast.Assign) or not isinstance(line.targets[0], ast.Name):
            continue
        name = line.targets[0].id
        with suppress(NameError, TypeError):  # made of something else than numbers
            known[name] = eval(compile(ast.Expression(line.value), str(path), "eval"), {"__builtins__": {}}, known)
        if type(known.get(name)) in (int, float) and _LIMIT_NAME.search(name):
            meaning = following.value if isinstance(following, ast.Expr) else None
            yield name, known[name], " ".join(str(meaning.value).split()) if isinstance(meaning, ast.Constant) else ""


def _choices() -> list[OptionValue]:
    return [(option, value) for option, values in OPTION_VALUES.items() for value in values]


def _spell(choice: OptionValue, short: bool = False) -> str:
    """An option value as on the command line; `short` leaves out the flag where the value says enough."""
    option, value = choice
    if value == "on":
        return f"`{flag_name(option)}`"
    if short:
        return f"`{option} {value}`" if option == "offload" else f"`{value}`"
    return f"`{flag_name(option)} {value}`"


def _option_row(name: str, option: Option) -> str:
    variables = ", ".join(f"`{each}`" for each in (env_variable(name), *option.env_aliases))
    choices = f" One of: {', '.join(option.choices)}." if option.choices else ""
    default = "" if option.default in (None, False, ()) else f"`{option.default}`"
    return f"| `{f'{flag_name(name)} {option.metavar}'.strip()}` | {variables} | {option.help}{choices} | {default} |"


TABLES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "README.md": {"conflicts": conflict_list},
    "docs/cli.md": {"request": request_table, "settings": settings_tables},
    "docs/deployment.md": {"matrix": compatibility_matrix},
    "docs/limits.md": {"limits": limits_table},
}
"""File -> name in the mark -> generator."""


def regenerate(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """`text` with its generated tables up to date. Raises ValueError if a mark is missing."""
    for name, table in tables.items():
        marks = re.compile(rf"(<!-- generated: {name} -->\n)(?:(?!<!--).)*(<!-- end -->)", re.DOTALL)
        if not marks.search(text):
            raise ValueError(f"there is no mark for the table '{name}'")
        text = marks.sub(rf"\g<1>{_escape(table())}\n\g<2>", text)
    return text


def _escape(text: str) -> str:
    return text.replace("\\", r"\\")


def main() -> None:
    """Rewrites the files."""
    for file, tables in TABLES.items():
        path = ROOT / file
        path.write_text(regenerate(path.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
