"""Rewrite the parts of README.md that are made from declarations, between their `<!-- made: ... -->` marks.

    python -m tools.readme

Knows which tables there are. Does not know the text around them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from wuerst_demo import pairs
from wuerst_demo.request import DESCRIPTIONS, Switch, admits, default_of
from wuerst_demo.settings import OPTIONS, SECTIONS, Option, flag, variable

FILE = Path(__file__).parent.parent / "README.md"


def request_table() -> str:
    """What can be asked, as a Markdown table."""
    rows = ["| | on the command line | what it is | takes | default |", "|---|---|---|---|---|"]
    for name, each in DESCRIPTIONS.items():
        spelled = flag(f"no_{name}") if isinstance(each, Switch) and each.default else flag(name)
        given = '`"PROMPT"`' if name == "prompt" else f"`{spelled}`"
        rows.append(f"| {each.label} | {given} | {each.help} | {admits(each)} | {default_of(each)} |")
    return "\n".join(rows)


def settings_table() -> str:
    """How the program runs, as Markdown tables, one for each group."""
    tables = []
    for group, title in SECTIONS.items():
        rows = [f"| {title} | variable | what it is | default |", "|---|---|---|---|"]
        rows += [_row(name, option) for name, option in OPTIONS.items() if option.group == group]
        tables.append("\n".join(rows))
    return "\n\n".join(tables)


def pairs_table() -> str:
    """Which options go together, as a Markdown table, and what its words mean."""
    options = list(pairs.VALUES)
    columns = [(option, value) for option in options[1:] for value in pairs.VALUES[option]]
    rows = ["| | " + " | ".join(map(_given, columns)) + " |", "|---" * (len(columns) + 1) + "|"]
    reasons: list[str] = []
    for number, option in enumerate(options[:-1]):
        for value in pairs.VALUES[option]:
            cells = []
            for column in columns:
                if column[0] not in options[number + 1 :]:
                    cells.append("")
                    continue
                verdict = pairs.how((option, value), column)
                if verdict == "refused":
                    reason = pairs.REFUSED[frozenset({(option, value), column})]
                    reasons += [] if reason in reasons else [reason]
                    verdict += f" {reasons.index(reason) + 1}"  # type: ignore[assignment]
                cells.append(verdict)
            rows.append(f"| {_given((option, value))} | {' | '.join(cells)} |")
    words = [f"- {word}: {meaning}" for word, meaning in pairs.HOW.items() if word != "refused"]
    refusals = [f"- refused {number}: {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*rows, "", *words, *refusals])


def _given(choice: pairs.Choice) -> str:
    """How a choice is written on the command line, short."""
    option, value = choice
    if value == "on":
        return f"`{flag(option)}`"
    return f"`{option} {value}`" if option == "offload" else f"`{value}`"


def _row(name: str, option: Option) -> str:
    variables = ", ".join(f"`{each}`" for each in (variable(name), *option.variables))
    choices = f" One of: {', '.join(option.choices)}." if option.choices else ""
    default = "" if option.default in (None, False, ()) else f"`{option.default}`"
    return f"| `{f'{flag(name)} {option.metavar}'.strip()}` | {variables} | {option.help}{choices} | {default} |"


TABLES: Mapping[str, Callable[[], str]] = {
    "request": request_table,
    "settings": settings_table,
    "pairs": pairs_table,
}
"""Name in the mark -> what stands below it."""


def made(text: str) -> str:
    """`text` with every table as the declarations have it now. ValueError for a mark that is missing."""
    for name, table in TABLES.items():
        marks = re.compile(rf"(<!-- made: {name} -->\n)(?:(?!<!--).)*(<!-- end -->)", re.DOTALL)
        if not marks.search(text):
            raise ValueError(f"README.md has no place for the table '{name}'")
        content = table() + "\n"
        text = marks.sub(lambda match, content=content: match[1] + content + match[2], text)  # type: ignore[misc]
    return text


def main() -> None:
    """Rewrite the file."""
    FILE.write_text(made(FILE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
