"""Command line options: how one is declared, and an argparse parser whose mistakes are one-line errors."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from wuerst_demo.errors import SettingsError
from wuerst_demo.fields import BOOLEAN_WORDS, Switch
from wuerst_demo.request import DESCRIPTIONS

HELP_WIDTH_CHARS = 100
_MAX_QUOTED_CHARS = 40
_MAX_NAME_CHARS = 200

OptionGroup = Literal["model", "placement", "fleet", "server", "output"]


@dataclass(frozen=True)
class Option:
    """Declaration of an option: a flag, an environment variable, a default and its help."""

    help: str
    group: OptionGroup
    default: str | int | bool | tuple[str, ...] | None
    """The value where neither flag nor variable is given; None where there is none."""
    metavar: str = ""
    """Placeholder for the value in the help; an option without one is a switch."""
    choices: tuple[str, ...] = ()
    parse: Callable[[str], Any] = str
    """Text to value. Raises ValueError whose message completes "--flag must be ..."."""
    env_aliases: tuple[str, ...] = ()
    """Environment variables that are read after the option's own."""
    repeatable: bool = False
    """Whether the flag may be given several times, or once with commas; the value is a tuple."""

    def value(self, source: str, text: str) -> Any:
        """The value of a text. Raises SettingsError, naming `source`, the flag or variable it comes from."""
        try:
            if not self.metavar:
                if text.strip().lower() not in BOOLEAN_WORDS:
                    raise ValueError("1 or 0 (true or false, yes or no, on or off)")
                return BOOLEAN_WORDS[text.strip().lower()]
            if self.choices and text not in self.choices:
                raise ValueError("one of: " + ", ".join(self.choices))
            if not text:
                raise ValueError("given a value; leave it out for the default")
            if "\0" in text or "\n" in text:
                raise ValueError("one line of text")
            return self.parse(text)
        except ValueError as error:
            raise SettingsError(f"{source} must be {error}.") from error


def flag_name(name: str) -> str:
    """The option's flag: `--no-auth` for `no_auth`."""
    return "--" + name.replace("_", "-")


def request_flag(name: str) -> str:
    """The flag of a request's field: `--prior-steps`, or `--no-weighting` for a switch that is on by default."""
    description = DESCRIPTIONS[name]
    return flag_name(f"no_{name}" if isinstance(description, Switch) and description.default else name)


def env_variable(name: str) -> str:
    """The option's environment variable: `WUERST_NO_AUTH` for `no_auth`."""
    return "WUERST_" + name.upper()


class OptionParser(argparse.ArgumentParser):
    """argparse for command lines that hold prompts.

    What follows an option that takes a value is its value, and every other word that does not start with `--` is
    positional, whatever they look like: argparse alone takes a prompt such as `-cat` for an option.
    Options that are not given are missing from the namespace unless they have a default.
    """

    def __init__(self, usage: str, description: str | None = None) -> None:
        super().__init__(
            usage=usage,
            description=description,
            add_help=False,
            argument_default=argparse.SUPPRESS,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=HELP_WIDTH_CHARS),
        )
        self.add_argument("-h", "--help", action="store_true", default=False, help="Show this help.")

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The options and positional words of a command line; `help` is True where help is requested.

        Raises SettingsError for an unknown option, a missing or superfluous value, or an unexpected word.
        """
        options, words = self._split(argv)
        if "--help" in options:
            return self.parse_args(["--help"])
        given, unexpected = self.parse_known_args([*options, "--", *words] if words else options)
        if unexpected:
            raise SettingsError("Unexpected argument; options start with --, see --help.")
        return given

    def error(self, message: str) -> NoReturn:
        """Raises SettingsError with the message in one line, where argparse prints its usage and exits."""
        line = " ".join(message.removeprefix("argument ").split())
        raise SettingsError(f"{line[:1].upper()}{line[1:200]}; see --help.")

    def _split(self, argv: Sequence[str]) -> tuple[list[str], list[str]]:
        """Options, each in one word with its value, and the words that belong to none."""
        known = self._option_string_actions
        options: list[str] = []
        words: list[str] = []
        rest = iter(argv)
        for word in rest:
            name, equals, value = word.partition("=")
            if word == "--":
                words.extend(rest)
            elif word == "-h":
                options.append("--help")
            elif not word.startswith("--"):
                words.append(word)
            elif name not in known:
                raise SettingsError(_unknown_option(name, list(known)))
            elif known[name].nargs == 0:
                options.append(word)
            elif (value := value if equals else next(rest, "--")) == "--":  # argparse would leave it out
                raise SettingsError(f"{name} needs a value: {name} {known[name].metavar}.")
            else:
                options.append(f"{name}={value}")
        return options, words


def _unknown_option(name: str, known: list[str]) -> str:
    # Cut short and on one line: the word may be a prompt.
    name = name[:_MAX_NAME_CHARS]
    shown = "".join(filter(str.isprintable, " ".join(name.split())))[:_MAX_QUOTED_CHARS]
    near = difflib.get_close_matches(name, known, n=1)
    return f"There is no option {shown}; " + (f"did you mean {near[0]}?" if near else "--help lists them all.")
