"""`wuerst generate --from FILE`: the prompts of a text file, one a line, generated in one run.

Pictures are named by their line, `0007-1-seed42.png`. A picture of an earlier run is not generated again if its file in
the output folder was generated from the same request with the same checkpoint; a line without a seed takes any seed.
"""

from __future__ import annotations

import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wuerst_demo.cli.progress_line import ProgressLine
from wuerst_demo.errors import InvalidRequest, MetadataError, SettingsError, UserError
from wuerst_demo.events import Event, Progress, Result
from wuerst_demo.fields import RANDOM_SEED
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.prompt_lines import line_error, list_prompt_lines, parse_prompt_line
from wuerst_demo.request import Limits, Request

STANDARD_INPUT = "-"
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_LINES = 9999
"""Lines of a file, so that four digits number them."""
_NAME_PATTERN = re.compile(r"\d{4}-\d+-seed\d+(-\d+)?\.png")
ParsePrompt = Callable[[str, bool], object]
"""Parses a prompt, with or without weighting. Raises PromptError."""


@dataclass(frozen=True)
class LineRequest:
    """The request of one line."""

    line: int
    request: Request
    seeded: bool
    """Whether its seed was given; else any seed will do."""


@dataclass(frozen=True)
class LineImage:
    """One picture of a line."""

    line: int
    number: int
    """Of the line's pictures, from 1."""
    request: Request

    @property
    def stem(self) -> str:
        """The name of its file, without the ending."""
        return f"{self.line:04}-{self.number}-seed{self.request.seed}"


def read_prompts_file(name: str) -> str:
    """The text of a file of prompts, or of standard input. Raises SettingsError."""
    shown = "Standard input" if name == STANDARD_INPUT else " ".join(name.split())[-100:]
    try:
        if name == STANDARD_INPUT:
            data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with open(name, "rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "no such name is possible"
        remedy = "give --from a text file, or - for standard input"
        raise SettingsError(f"{shown} cannot be read ({reason}): {remedy}.") from error
    if len(data) > MAX_FILE_BYTES:
        raise SettingsError(f"{shown} is larger than {MAX_FILE_BYTES // 2**20} MiB: split it into several files.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        raise SettingsError(f"{shown} is UTF-16 text or no text: save it as UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{shown} is not UTF-8 text (line {line}): save it as UTF-8.") from error
    if not (lines := list_prompt_lines(text)):
        raise SettingsError(f"{shown} has no prompts: write one a line; lines that begin with # are comments.")
    if lines[-1][0] > MAX_LINES:
        raise SettingsError(f"{shown} has more than {MAX_LINES:,} lines: split it into several files.")
    return text


def read_line_requests(
    text: str, shared: Mapping[str, object], limits: Limits, parse_prompt: ParsePrompt
) -> tuple[list[LineRequest], list[UserError]]:
    """The requests of a text's lines, and one error for each line that is none. `shared` are values for every line."""
    requests: list[LineRequest] = []
    errors: list[UserError] = []
    for number, line in list_prompt_lines(text):
        try:
            values = {**shared, **parse_prompt_line(line)}
            request = limits.request(values)
            parse_prompt(request.prompt, request.weighting)
        except UserError as error:
            errors.append(line_error(number, error))
        else:
            seeded = values.get("seed") not in (None, RANDOM_SEED)
            requests.append(LineRequest(number, request, seeded))
    return requests, errors


def find_missing(requests: Sequence[LineRequest], folder: Path, checkpoint: str, revision: str) -> list[LineImage]:
    """The pictures of the requests, line by line, without those that have their files in `folder` already."""
    existing = _read_existing(folder, checkpoint, revision)
    missing: list[LineImage] = []
    # Lines with a seed first: one without takes any picture that is left.
    for each in sorted(requests, key=lambda each: not each.seeded):
        for k in range(each.request.images):
            request = each.request.image(k)
            seeds = existing[replace(request, seed=0)]
            if each.seeded and request.seed in seeds:
                seeds.remove(request.seed)
            elif seeds and not each.seeded:
                seeds.pop(0)
            else:
                missing.append(LineImage(each.line, k + 1, request))
    return sorted(missing, key=lambda image: (image.line, image.number))


def _read_existing(folder: Path, checkpoint: str, revision: str) -> dict[Request, list[int]]:
    """The seeds of the folder's pictures that a file of prompts gave their names, by request with seed 0."""
    existing: dict[Request, list[int]] = defaultdict(list)
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    for name in filter(_NAME_PATTERN.fullmatch, names):
        try:
            settings = read_image_settings(folder / name)
            request = Limits().request(settings.values)
        except (MetadataError, InvalidRequest):
            continue
        if (settings.checkpoint, settings.revision) == (checkpoint, revision):
            existing[replace(request, seed=0)].append(request.seed)
    return existing


@dataclass(frozen=True)
class LinesCommand:
    """The command, once its options are read."""

    text: str
    """Of the file."""
    shared: Mapping[str, object]
    """Values of a request for every line that does not set them."""
    keep_going: bool
    """Whether lines with mistakes are left out; else the first of them ends the command."""
    parse_prompt: ParsePrompt

    def check(self, limits: Limits) -> tuple[list[LineRequest], list[UserError]]:
        """As `read_line_requests`. Raises SettingsError for mistakes that are not to be left out."""
        requests, errors = read_line_requests(self.text, self.shared, limits, self.parse_prompt)
        if errors and not (self.keep_going and requests):
            others = {1: "", 2: " And another of its lines has a mistake."}
            more = others.get(len(errors), f" And {len(errors) - 1} more of its lines have mistakes.")
            remedy = "" if self.keep_going else " Correct it, or give --keep-going to leave such lines out."
            raise SettingsError(f"{errors[0]}{more}{remedy}")
        return requests, errors

    def generate(
        self, images: Sequence[LineImage], events: Iterable[tuple[int, Event | UserError]], line: ProgressLine
    ) -> Iterator[tuple[LineImage, Result]]:
        """The pictures as they are finished. With `keep_going` one that fails is reported and left out, and the end is
        a UserError that counts them."""
        failed = 0
        for image, outcome in show_images_progress(events, images, line):
            if isinstance(outcome, Result):
                yield image, outcome
            elif self.keep_going:
                failed += 1
                line.write(str(line_error(image.line, outcome)))
            else:
                raise line_error(image.line, outcome)
        if failed:
            raise UserError(f"{failed} of {len(images)} pictures failed; run the same command again for them.")


def show_images_progress(
    events: Iterable[tuple[int, Event | UserError]],
    images: Sequence[LineImage],
    line: ProgressLine,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[LineImage, Result | UserError]]:
    """Each picture's result or error as it comes; `line` shows the line, stage and percentage in between."""
    steps = [image.request.prior_steps + image.request.decoder_steps + 1 for image in images]
    passed, finished, started = 0, 0, clock()
    for number, event in events:
        image = images[number]
        if isinstance(event, Progress):
            here = event.step + (image.request.prior_steps if event.stage != "prior" else 0)
            percent = 100 * (passed + min(here, steps[number])) // sum(steps)
            place = f"Line {image.line}: {event.stage}, step {event.step} of {event.total_steps}"
            line.show(f"{place} ({percent} % of {len(images)} pictures)")
        elif isinstance(event, Result | UserError):
            passed += steps[number]
            finished += isinstance(event, Result)
            yield image, event
    line.write(f"{finished} {'picture' if finished == 1 else 'pictures'} in {clock() - started:.1f} s")
