"""The command line: `generate`, `page`, `info`, `train` and `bench`.

    wuerst generate "an astronaut cat" --seed 7

Every option is generated from its declaration, in request.py or settings.py. Mistakes are reported before torch is
imported. Paths of pictures go to standard output, everything else to standard error. Exit codes: 0; 2 after one line
that names mistake and remedy; 130 when interrupted; 141 when the reader of standard output has gone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from wuerst_demo import __version__
from wuerst_demo.cli import stdio
from wuerst_demo.cli.network_settings import drop_unusable
from wuerst_demo.cli.variation import add_variation_options, read_morph, read_variation
from wuerst_demo.errors import SettingsError, WuerstError
from wuerst_demo.fields import Choice, Number, Switch, allowed_values, format_default, parse_value
from wuerst_demo.options import OptionGroup, OptionParser, request_flag
from wuerst_demo.request import DESCRIPTIONS, Limits, Request
from wuerst_demo.settings import OPTIONS, Settings, add_options

if TYPE_CHECKING:
    from wuerst_demo.api import Wuerstchen
    from wuerst_demo.checkpoints.manifest import ResolvedCheckpoint
    from wuerst_demo.cli.progress_line import ProgressLine

T = TypeVar("T")
LoadCheckpoint = Callable[["ResolvedCheckpoint", Settings], "Wuerstchen"]
"""Loads a checkpoint as the settings request; imports torch."""

USAGE = """\
Würstchen {version}: text to image in a 42x compressed space.

  wuerst generate "PROMPT" [options]   write pictures into a folder and print their paths
  wuerst generate --from FILE [options]   the same for every line of a text file
  wuerst page [options]                open the web page
  wuerst info [--json] [options]       show checkpoint, device and memory without loading weights
  wuerst train [options]               train the small checkpoint that ships with the demo
  wuerst bench [NAME] [options]        run a benchmark

`python -m wuerst_demo` is the same as `wuerst`. Each command has its own --help.
"""
_GENERATE_GROUPS: tuple[OptionGroup, ...] = ("model", "placement", "output")
_INFO_GROUPS: tuple[OptionGroup, ...] = ("model", "placement")


def main(
    argv: Sequence[str] | None = None, env: Mapping[str, str] | None = None, load: LoadCheckpoint | None = None
) -> int:
    """Run a command and return the exit code; `load` is replaced in tests."""
    words = list(sys.argv[1:] if argv is None else argv)
    variables = os.environ if env is None else env
    stdio.open_missing_streams()
    stdio.escape_unencodable()
    drop_unusable(os.environ)
    try:
        return _run_command(words, variables, load or _load_checkpoint)
    except WuerstError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return 130
    except BrokenPipeError:
        stdio.discard_stdout()
        return stdio.BROKEN_PIPE_EXIT_CODE


def _run_command(words: list[str], env: Mapping[str, str], load: LoadCheckpoint) -> int:
    # Deprecation warnings of libraries concern their own next versions, and warnings of downloads are errors here.
    for library in ("TRANSFORMERS", "DIFFUSERS", "HF_HUB"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    command, rest = (words[0], words[1:]) if words else ("", [])
    match command:
        case "generate":
            return _run_generate(rest, env, load)
        case "info":
            return _run_info(rest, env)
        case "page":
            from wuerst_demo.cli.page import run_page

            run_page(rest, env)
        case "train":
            from wuerst_demo.training.__main__ import main as train

            return train(rest) or 0
        case "bench":
            from wuerst_demo.benchmarks.__main__ import main as bench

            return bench(rest, env)
        case "--help" | "-h" | "help":
            stdio.write_stdout(USAGE.format(version=__version__))
        case "--version":
            stdio.write_stdout(f"{__version__}\n")
        case "":
            raise SettingsError("Give a command: generate, page, info, train or bench; see --help.")
        case _:
            raise SettingsError("Unknown command: use generate, page, info, train or bench; see --help.")
    return 0


def _run_generate(argv: list[str], env: Mapping[str, str], load: LoadCheckpoint) -> int:
    parser = OptionParser('wuerst generate "PROMPT" [options]')
    parser.add_argument("prompt", nargs="*", default=[], help=argparse.SUPPRESS)
    _add_file_options(parser)
    add_request_options(parser)
    add_variation_options(parser)
    add_options(parser, _GENERATE_GROUPS)
    given = parser.parse(argv)
    if given.help:
        stdio.write_stdout(parser.format_help())
        return 0
    if morph := read_morph(given, given.prompt):
        return _generate_one(morph, Settings.of(vars(given), env, _GENERATE_GROUPS), load)
    earlier = read_variation(given)
    if not given.prompt and earlier and "prompts_file" not in given:
        given.prompt = [str(earlier.get("prompt", ""))]
    for text in (*given.prompt, vars(given).get("negative_prompt", "")):
        stdio.check_decoded(text)
    settings = Settings.of(vars(given), env, _GENERATE_GROUPS)
    texts = {**vars(given), "prompt": given.prompt[0] if given.prompt else ""}
    values = earlier | {
        name: parse_value(description, texts[name]) for name, description in DESCRIPTIONS.items() if name in texts
    }
    if "prompts_file" in given:
        if given.prompt:
            raise SettingsError("--from takes the prompts from its file: leave the prompt out, or --from.")
        return _generate_lines(given.prompts_file, values, "keep_going" in given, settings, load)
    if len(given.prompt) != 1:
        raise SettingsError(
            "generate takes one prompt: put it in quotes, and options after it."
            if given.prompt
            else 'generate needs a prompt in quotes; an empty one is "".'
        )
    return _generate_one(values, settings, load)


def _generate_one(values: Mapping[str, object], settings: Settings, load: LoadCheckpoint) -> int:
    from wuerst_demo.cli.progress_line import ProgressLine, show_progress
    from wuerst_demo.images.files import save_animation, save_image
    from wuerst_demo.prompts.parser import parse_prompt

    def check(limits: Limits) -> Request:
        request = limits.request(values)
        parse_prompt(request.prompt, request.weighting)
        return request

    checkpoint, request = _open_checked(settings, check)
    with closing(ProgressLine(sys.stderr)) as line:
        wuerstchen = _load_announced(checkpoint, settings, load, line)
        notes: dict[str, None] = {}
        origin = (Path(settings.output), checkpoint.name, checkpoint.revision)
        now, images = datetime.now(), {}
        for result in show_progress(wuerstchen.run(request), request, line):
            stem = f"{now:%Y%m%d-%H%M%S}-morph-{result.index + 1:02}" if request.morph else ""
            path = save_image(result, *origin, stem=stem)
            line.clear()
            stdio.write_stdout(f"{path}\n")
            notes |= dict.fromkeys(result.notes)
            if request.morph:
                images[result.index] = result.image
        if request.morph:
            path = save_animation([images[k] for k in sorted(images)], request, *origin, now=now)
            stdio.write_stdout(f"{path}\n")
        for note in notes:
            line.write(note)
    return 0


def _generate_lines(
    file: str, shared: Mapping[str, object], keep_going: bool, settings: Settings, load: LoadCheckpoint
) -> int:
    from wuerst_demo.cli.progress_line import ProgressLine
    from wuerst_demo.cli.prompts_file import LinesCommand, find_missing, read_prompts_file
    from wuerst_demo.images.files import save_image
    from wuerst_demo.prompts.parser import parse_prompt

    command = LinesCommand(read_prompts_file(file), shared, keep_going, parse_prompt)
    checkpoint, (requests, errors) = _open_checked(settings, command.check)
    folder = Path(settings.output)
    images = find_missing(requests, folder, checkpoint.name, checkpoint.revision)
    with closing(ProgressLine(sys.stderr)) as line:
        for error in errors:
            line.write(str(error))
        if kept := sum(each.request.images for each in requests) - len(images):
            say = line.announce if images else line.write
            say(f"{kept} {'picture is' if kept == 1 else 'pictures are'} in {folder} already.")
        if images:
            wuerstchen = _load_announced(checkpoint, settings, load, line)
            events = wuerstchen.run_all(image.request for image in images)
            for image, result in command.generate(images, events, line):
                path = save_image(result, folder, checkpoint.name, checkpoint.revision, stem=image.stem)
                line.clear()
                stdio.write_stdout(f"{path}\n")
    if errors:
        lines = "1 line was" if len(errors) == 1 else f"{len(errors)} lines were"
        raise SettingsError(f"{lines} left out: correct what is wrong and run the same command again.")
    return 0


def _open_checked(settings: Settings, check: Callable[[Limits], T]) -> tuple[ResolvedCheckpoint, T]:
    """The opened checkpoint, and what `check` makes of its limits. Mistakes are reported before gigabytes are
    downloaded."""
    from wuerst_demo.checkpoints.registry import KNOWN_CHECKPOINTS
    from wuerst_demo.images.files import check_writable

    if settings.model is not None and not os.path.isdir(settings.model):
        known = KNOWN_CHECKPOINTS.get(settings.model.partition("@")[0])
        check(known.limits if known else Limits())
    check_writable(Path(settings.output))
    checkpoint = _open_checkpoint(settings)
    return checkpoint, check(checkpoint.info.limits)


def _load_announced(
    checkpoint: ResolvedCheckpoint, settings: Settings, load: LoadCheckpoint, line: ProgressLine
) -> Wuerstchen:
    line.show_on_terminal(f"Loading {checkpoint.name}")
    wuerstchen = load(checkpoint, settings)
    line.announce(wuerstchen.placement.reason)
    return wuerstchen


def _run_info(argv: list[str], env: Mapping[str, str]) -> int:
    parser = OptionParser("wuerst info [options]")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    parser.add_argument("--ray", metavar="HOST:PORT", help="Show the machines of a Ray cluster, and nothing else.")
    add_options(parser, _INFO_GROUPS)
    given = parser.parse(argv)
    if given.help:
        stdio.write_stdout(parser.format_help())
        return 0
    from wuerst_demo.cli import info

    if "ray" in given:
        from wuerst_demo.fleet.ray_cluster import inspect_cluster

        machines = inspect_cluster(OPTIONS["ray"].value("--ray", given.ray), env)
        facts: object = machines
        text = info.format_machines(machines)
    else:
        settings = Settings.of(vars(given), env, _INFO_GROUPS)
        report = info.collect_info(_open_checkpoint(settings), settings)
        facts, text = report, info.format_info(report)
    as_json = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    stdio.write_stdout(as_json if "json" in given else text)
    return 0


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    section = parser.add_argument_group("Many prompts")
    section.add_argument(
        "--from",
        dest="prompts_file",
        metavar="FILE",
        help="Generate the prompts of a text file, one a line, in place of PROMPT; - reads standard input. A line may"
        " end in options of a picture; lines that begin with # are comments. Pictures that exist are kept.",
    )
    section.add_argument(
        "--keep-going",
        action="store_true",
        help="With --from: leave out lines with mistakes and pictures that fail, and report each.",
    )


def add_request_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for every field of a request but the prompt; `--no-...` for a switch that is on by default."""
    section = parser.add_argument_group("Picture (a checkpoint may accept less, and has its own defaults)")
    for name, description in DESCRIPTIONS.items():
        if name == "prompt":
            continue
        if isinstance(description, Switch):
            section.add_argument(
                request_flag(name),
                dest=name,
                action="store_const",
                const="false" if description.default else "true",
                help=description.help,
            )
            continue
        match description:
            case Number(whole=whole):
                metavar = "N" if whole else "X"
            case Choice():
                metavar = "|".join(description.choices)
            case _:
                metavar = "TEXT"
        accepted = "" if isinstance(description, Choice) else f"{allowed_values(description)}; "
        values = f"{accepted}default: {format_default(description)}."
        section.add_argument(
            request_flag(name), metavar=metavar, help=f"{description.help} {values[:1].upper()}{values[1:]}"
        )


def _load_checkpoint(checkpoint: ResolvedCheckpoint, settings: Settings) -> Wuerstchen:
    from wuerst_demo.api import load_checkpoint

    return load_checkpoint(checkpoint, settings.placement)


def _open_checkpoint(settings: Settings) -> ResolvedCheckpoint:
    from wuerst_demo.api import open_checkpoint

    return open_checkpoint(settings.model, settings.prior, settings.vqgan, settings.lora, options=settings.placement)
