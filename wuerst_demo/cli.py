"""The command line: `generate`, `info` and `train`.

    python -m wuerst_demo generate "an astronaut cat" --seed 7

Every option is made from its declaration, in request.py or settings.py. Whatever can be refused without torch is
refused before torch is imported. Paths of pictures go to standard output, everything else to standard error.
Exits with 0; with 2 and one line for a mistake; with 130 when interrupted; with 141 when nobody reads the output.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wuerst_demo import __version__, arguments, streams
from wuerst_demo.errors import SettingsError, StorageError, WuerstError
from wuerst_demo.request import DESCRIPTIONS, Choice, Description, Limits, Number, Switch, admits, default_of, from_text
from wuerst_demo.settings import Group, Settings, flag

if TYPE_CHECKING:
    from wuerst_demo.api import Wuerstchen
    from wuerst_demo.model.files import Located

Load = Callable[["Located", Settings], "Wuerstchen"]
"""Loads a checkpoint where the settings want it; torch is imported in here at the earliest."""

USAGE = """\
Würstchen {version}: text becomes pictures.

  python -m wuerst_demo generate "PROMPT" [options]   write pictures into a folder, print their paths
  python -m wuerst_demo info [--json] [options]       say what would run where
  python -m wuerst_demo train [options]               train the small checkpoint that ships with the demo
  python app.py [options]                             open the page

Each takes --help.
"""
_GENERATE: tuple[Group, ...] = ("model", "placement", "output")
_INFO: tuple[Group, ...] = ("model", "placement")


def main(argv: Sequence[str] | None = None, env: Mapping[str, str] | None = None, load: Load | None = None) -> int:
    """Do what `argv` says and return the exit code. `load` takes the real checkpoint's place in tests."""
    words = list(sys.argv[1:] if argv is None else argv)
    variables = os.environ if env is None else env
    streams.forgive()
    try:
        return _command(words, variables, load or _load)
    except WuerstError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return 130
    except BrokenPipeError:
        streams.discard()
        return streams.GONE


def _command(words: list[str], env: Mapping[str, str], load: Load) -> int:
    command, rest = (words[0], words[1:]) if words else ("", [])
    match command:
        case "generate":
            return _generate(rest, env, load)
        case "info":
            return _info(rest, env)
        case "train":
            from wuerst_demo.training.__main__ import main as train

            return train(rest) or 0
        case "--help" | "-h" | "help":
            _print(USAGE.format(version=__version__))
        case "--version":
            _print(f"{__version__}\n")
        case "":
            raise SettingsError("Say what to do: generate, info or train; --help explains.")
        case _:
            raise SettingsError("The first word must be generate, info or train; --help explains.")
    return 0


def _generate(argv: list[str], env: Mapping[str, str], load: Load) -> int:
    flags = [*request_flags(), *Settings.flags(_GENERATE)]
    given = arguments.read(argv, flags)
    if given.help:
        _print(f'python -m wuerst_demo generate "PROMPT" [options]\n\n{arguments.described(flags)}\n')
        return 0
    if len(given.words) != 1:
        raise SettingsError(
            "generate takes one prompt: put it in quotes, and options after it."
            if given.words
            else 'generate needs a prompt in quotes; an empty one is "".'
        )
    settings = Settings.of(given.texts, env, _GENERATE)
    values = {
        name: from_text(description, given.texts[name])
        for name, description in DESCRIPTIONS.items()
        if name in given.texts
    } | {"prompt": given.words[0]}
    from wuerst_demo.model.known import KNOWN, limits_of
    from wuerst_demo.model.reading import parse
    from wuerst_demo.pictures import save, writable

    if settings.model is not None and not os.path.isdir(settings.model):
        # What is wrong anyway is refused before gigabytes are fetched.
        known = KNOWN.get(settings.model.partition("@")[0])
        early = (known.limits if known else Limits()).request(values)
        parse(early.prompt, early.weighting)
    folder = Path(settings.output)
    writable(folder)
    located = _located(settings)
    request = limits_of(located).request(values)
    # a broken weighting is answered now, not after everything has been loaded
    parse(request.prompt, request.weighting)
    from wuerst_demo.terminal import Line, watched

    line = Line(sys.stderr)
    try:
        line.wait(f"Loading {located.name}")
        wuerstchen = load(located, settings)
        line.announce(wuerstchen.placement.reason)
        notes: dict[str, None] = {}
        for result in watched(wuerstchen.run(request), request, line):
            path = save(result, folder, located.name, located.revision)
            line.clear()
            _print(f"{path}\n")
            notes |= dict.fromkeys(result.notes)
        for note in notes:
            line.say(note)
    finally:
        line.clear()
    return 0


def _info(argv: list[str], env: Mapping[str, str]) -> int:
    flags = [
        arguments.Flag("--json", "json", "As JSON, for programs.", section="Output"),
        *Settings.flags(_INFO),
    ]
    given = arguments.read(argv, flags)
    if given.help:
        _print(f"python -m wuerst_demo info [options]\n\n{arguments.described(flags)}\n")
        return 0
    if given.words:
        raise SettingsError("info takes options only; --help lists them.")
    settings = Settings.of(given.texts, env, _INFO)
    located = _located(settings)
    from wuerst_demo import about

    facts = about.facts(located, settings)
    _print(json.dumps(facts, indent=2, ensure_ascii=False) + "\n" if "json" in given.texts else about.text(facts))
    return 0


def request_flags() -> list[arguments.Flag]:
    """One flag for every field of a request but the prompt. A switch that is on has `--no-...`."""
    return [_request_flag(name, each) for name, each in DESCRIPTIONS.items() if name != "prompt"]


def _request_flag(name: str, description: Description) -> arguments.Flag:
    section = "Picture (a checkpoint may admit less, and has its own defaults)"
    if isinstance(description, Switch):
        on = description.default
        return arguments.Flag(
            flag(f"no_{name}" if on else name), name, description.help, gives="false" if on else "true", section=section
        )
    match description:
        case Number(whole=whole):
            metavar = "N" if whole else "X"
        case Choice():
            metavar = "|".join(description.choices)
        case _:
            metavar = "TEXT"
    said = f"{description.help} {admits(description).capitalize()}; default: {default_of(description)}."
    return arguments.Flag(flag(name), name, said, metavar, section=section)


def _load(located: Located, settings: Settings) -> Wuerstchen:
    # Their warnings are about their own future; a mistake of ours or of the user's is an exception.
    for library in ("TRANSFORMERS", "DIFFUSERS"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    from wuerst_demo.api import load_located

    return load_located(located, **settings.placement)


def _located(settings: Settings) -> Located:
    """The checkpoint that was asked for. What this machine lacks is said before its weights are fetched."""
    from wuerst_demo.model.files import locate
    from wuerst_demo.model.placement import foresee

    ready = partial(foresee, **settings.placement, lora=bool(settings.lora))
    return locate(settings.model, settings.prior, settings.vqgan, settings.lora, ready=ready)


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        streams.discard()
        raise StorageError(f"Standard output cannot be written ({error.strerror}); send it elsewhere.") from error
