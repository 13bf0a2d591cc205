"""A command line as words: which flag was given which text, and what was left over.

Knows spelling only, not what a flag means or which values it admits. argparse is not used because it takes a prompt
that starts with a dash for a flag, and answers a mistake with its usage text.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from wuerst_demo.errors import SettingsError


@dataclass(frozen=True)
class Flag:
    """One flag: `--prior-steps N` stands for the name `prior_steps`.

    Without a `metavar` it is a switch, and giving it stands for `gives`. `section` is its heading in the help. Of one
    that may be given `many` times, the texts come together, with commas between them.
    """

    word: str
    name: str
    help: str
    metavar: str = ""
    gives: str = "true"
    section: str = ""
    many: bool = False


@dataclass(frozen=True)
class Given:
    """What stood on the command line: texts by name (of several the last holds, unless the flag takes many), the words
    that belong to no flag, or help."""

    texts: dict[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    help: bool = False


def read(argv: Sequence[str], flags: Iterable[Flag]) -> Given:
    """Sort `argv` by `flags`. A flag that takes a value takes the next word, whatever it looks like.

    Raises SettingsError for an unknown flag, a flag without its value, a switch with one.
    """
    known = {flag.word: flag for flag in flags}
    texts: dict[str, str] = {}
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--":
            words.extend(rest)
        elif word in ("--help", "-h"):
            return Given(help=True)
        elif not word.startswith("--"):
            words.append(word)
        elif name not in known:
            raise SettingsError(_unknown(name, known))
        elif not known[name].metavar:
            if equals:
                raise SettingsError(f"{name} is a switch; give it without a value.")
            texts[known[name].name] = known[name].gives
        else:
            text = value if equals else next(rest, None)
            if text is None:
                raise SettingsError(f"{name} needs a value: {name} {known[name].metavar}.")
            before = texts.get(known[name].name) if known[name].many else None
            texts[known[name].name] = text if before is None else f"{before},{text}"
    return Given(texts, tuple(words))


def _unknown(name: str, known: Iterable[str]) -> str:
    # Only the start of the word is shown, on one line: somebody's prompt may have got in here.
    shown = " ".join(name.split())[:40]
    near = difflib.get_close_matches(name, known, n=1)
    return f"There is no option {shown}; " + (f"did you mean {near[0]}?" if near else "--help lists them all.")


def described(flags: Iterable[Flag], width: int = 100) -> str:
    """The flags with their help, under the headings of their sections, as lines of at most `width` characters."""
    lines: list[str] = []
    section = None
    for flag in flags:
        if flag.section != section:
            section = flag.section
            lines += ["", f"{section}:"]
        head = f"  {flag.word} {flag.metavar}".rstrip()
        wrapped = textwrap.wrap(flag.help, width - 32)
        if len(head) > 30:
            lines.append(head)
            head = ""
        lines += [f"{head:<32}{wrapped[0]}", *(" " * 32 + line for line in wrapped[1:])]
    return "\n".join(lines[1:] if lines[:1] == [""] else lines)
