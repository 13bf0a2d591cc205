"""`parameters`, the format of the AUTOMATIC1111 web UI, its descendants and model sites, parsed and written.

A prompt, "Negative prompt: " and the negative prompt, and one line of "Name: value" pairs, where a value that contains
a comma, a colon or a line break is quoted as JSON. Programs differ: line breaks stay raw in quotes, values are JSON or
in brackets, bars separate pairs, lines follow, or the line breaks are lost. Parsing takes time linear in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from wuerst_demo import __version__
from wuerst_demo.fields import parse_value
from wuerst_demo.images.parsed_settings import ParsedSettings, parse_number, parse_sampler, parse_size
from wuerst_demo.request import DESCRIPTIONS, Request, Sampler

MAX_PARAMETERS_CHARS = 2**16
MAX_PAIRS = 1000
"""Most pairs that are read of one text."""
MAX_LISTED_LINES = 20
"""Most lines behind the settings that are named as not understood."""
_NEGATIVE_PREFIX = "Negative prompt:"
_NEGATIVE_LINE = re.compile(rf"(?:^|\n){_NEGATIVE_PREFIX}", re.IGNORECASE)
_NEGATIVE_WITHIN = re.compile(_NEGATIVE_PREFIX, re.IGNORECASE)
_NUMBER_FIELDS = {
    "Steps": "prior_steps",
    "CFG scale": "prior_guidance",
    "Seed": "seed",
    "Decoder steps": "decoder_steps",
    "Decoder CFG scale": "decoder_guidance",
    "Guidance from": "guidance_from",
    "Guidance to": "guidance_to",
}
_SAMPLER_KEY = "Sampler"
_SAMPLER_NAMES: dict[Sampler, str] = {"ddpm": "DDPM Wuerstchen", "ddim": "DDIM"}
_SCHEDULE_KEY = "Schedule type"
_WEIGHTING_KEY = "Prompt weighting"
_KNOWN_NAMES = frozenset(name.lower() for name in (*_NUMBER_FIELDS, "Sampler", "Size", "Model", "Version"))

_STEPS_LINE = re.compile(r"^[ \t]*Steps:[ \t]*\d+[ \t]*(?:[,|]|$)", re.MULTILINE | re.IGNORECASE)
_OTHER_LINE = re.compile(
    r"^[ \t]*(?:Seed|Size|CFG scale|Sampler|Schedule type|Model|Model hash):[ \t]*\S", re.MULTILINE | re.IGNORECASE
)
_WITHIN_LINE = re.compile(r"\bSteps:[ \t]*\d{1,9}[ \t]*[,|][ \t]*(?:Sampler|Schedule type|CFG scale|Seed|Size|Model):")
_NAME = re.compile(r'[ \t]{0,8}([^\s,:|"][^,:|"\n]{0,60}):[ \t]{0,8}')
_QUOTED = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SEPARATED = {each: re.compile(f"[{each}\\n]") for each in ",|"}
_MAX_VALUE_CHARS = 2000
_BRACKET_COST = 16
"""What a bracket takes of the budget, in characters."""
_BRACKET = re.compile(r'[\[\]{}()"]')


def format_parameters(request: Request, checkpoint: str) -> str:
    """A request in the format of `parameters`."""
    pairs: dict[str, object] = {
        "Steps": request.prior_steps,
        _SAMPLER_KEY: _SAMPLER_NAMES[request.sampler],
        _SCHEDULE_KEY: request.prior_schedule,
        "CFG scale": f"{request.prior_guidance:g}",
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Model": checkpoint,
        "Decoder steps": request.decoder_steps,
        "Decoder CFG scale": f"{request.decoder_guidance:g}",
        **_format_interval(request),
        _WEIGHTING_KEY: "on" if request.weighting else "off",
        "Version": f"wuerst_demo {__version__}",
    }
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"{_NEGATIVE_PREFIX} {request.negative_prompt}")
    lines.append(", ".join(f"{name}: {_quote(str(value))}" for name, value in pairs.items() if value != ""))
    return "\n".join(lines)


def _format_interval(request: Request) -> dict[str, str]:
    """The interval of guidance, where it is not the whole way."""
    if (request.guidance_from, request.guidance_to) == (0, 1):
        return {}
    return {"Guidance from": f"{request.guidance_from:g}", "Guidance to": f"{request.guidance_to:g}"}


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(c in value for c in ',:\n"') else value


def parse_parameters(text: str) -> ParsedSettings:
    """The settings in a text of that format; without any, the whole text is a prompt."""
    text = text.replace("\r\n", "\n").strip()
    line = _find_settings_line(text)
    if line is None:
        prompt, negative = _split_prompts(text, inline=False)
        return ParsedSettings({"prompt": prompt, "negative_prompt": negative})
    prompt, negative = _split_prompts(text[: line.start], inline=line.inline)
    values: dict[str, object] = {"prompt": prompt, "negative_prompt": negative}
    unsupported: list[str] = []
    origin: dict[str, str] = {}
    for name, value in line.pairs:
        known = _assign(values, name, value)
        if not known and name in ("Model", "Version", "App"):
            origin.setdefault(name, value)
        elif not known:
            unsupported.append(name)
    for behind in text[line.end :].strip().split("\n")[:MAX_LISTED_LINES]:
        pair = _NAME.match(behind)
        unsupported += [pair[1] if pair else behind.strip()] if behind.strip() else []
    program = " ".join(origin[key] for key in ("App", "Version") if key in origin)
    return ParsedSettings(values, origin.get("Model", ""), program=program, unsupported=tuple(unsupported))


def _assign(values: dict[str, object], name: str, value: str) -> bool:
    """Add a pair's value unless an earlier pair has set it; False where a request has no field for it."""
    numbers = {key.lower(): field for key, field in _NUMBER_FIELDS.items()}
    if field := numbers.get(name.lower()):
        values.setdefault(field, parse_number(field, value))
    elif name.lower() == "size":
        for side, pixels in parse_size(value).items():
            values.setdefault(side, pixels)
    elif name == _SAMPLER_KEY and (sampler := parse_sampler(value)):
        values.setdefault("sampler", sampler)
    elif name == _SCHEDULE_KEY and value in ("two-part", "linear"):
        values["prior_schedule"] = value
    elif name == _WEIGHTING_KEY:
        values["weighting"] = parse_value(DESCRIPTIONS["weighting"], value)
    else:
        return False
    return True


def _split_prompts(body: str, inline: bool) -> tuple[str, str]:
    """Prompt and negative prompt; `inline` where the text has lost its line breaks."""
    body = body.rstrip() if inline else body.removesuffix("\n")
    found = _NEGATIVE_LINE.search(body)
    if not found and inline and (found := _NEGATIVE_WITHIN.search(body)):
        return body[: found.start()].rstrip(), body[found.end() :].removeprefix(" ")
    return (body[: found.start()], body[found.end() :].removeprefix(" ")) if found else (body, "")


@dataclass(frozen=True)
class _SettingsLine:
    """The line of pairs, which may be part of a line, or several lines because of line breaks in its values."""

    start: int
    end: int
    pairs: tuple[tuple[str, str], ...]
    inline: bool = False

    @property
    def score(self) -> int:
        """How much like settings it looks; 0: not at all. In small letters, one number may be part of a prompt."""
        known = len({name.lower() for name, _ in self.pairs} & _KNOWN_NAMES)
        numbered = {name for name, value in self.pairs if value.lstrip("-").isdecimal()}
        written = bool(numbered & {"Steps", "Seed"}) or (known > 1 and bool(numbered & {"steps", "seed"}))
        return written * known


def _find_settings_line(text: str) -> _SettingsLine | None:
    """The most complete line of settings, the last of equals."""
    for pattern in (_STEPS_LINE, _OTHER_LINE):
        lines = list(_read_lines(text, (each.start() for each in pattern.finditer(text))))
        best = max(reversed(lines), key=lambda line: line.score, default=None)
        if best and best.score:
            return best
    within = [each.start() for each in _WITHIN_LINE.finditer(text)]
    (last,) = _read_lines(text, [text.rfind("\n") + 1])
    if last.score and _NAME.match(text, last.start) and (not within or "Steps" in dict(last.pairs)):
        return last
    lines = list(_read_lines(text, within[-1:]))
    return replace(lines[0], inline=True) if lines else None


def _read_lines(text: str, starts: Iterator[int] | list[int]) -> Iterator[_SettingsLine]:
    scanner = _PairScanner(text)
    end = 0
    for start in starts:
        if not scanner.remaining_pairs:
            return
        if start >= end:  # else it is inside a value of the line before
            pairs, end = scanner.read_pairs(start)
            yield _SettingsLine(start, end, tuple(pairs))


class _PairScanner:
    """Reads pairs, at most MAX_PAIRS. All looking ahead for closing quotes and brackets has one budget."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lookahead = 4 * len(text)
        self.remaining_pairs = MAX_PAIRS

    def read_pairs(self, position: int) -> tuple[list[tuple[str, str]], int]:
        """Pairs from `position` to the end of their line, and the position of that end.

        What follows a separator and is no pair belongs to the value before: a list of styles, for example.
        """
        text, pairs = self._text, list[tuple[str, str]]()
        line_end = self._line_end(position)
        separator = "|" if "|" in text[position:line_end].partition(",")[0] else ","
        while position < len(text) and text[position] != "\n" and self.remaining_pairs:
            self.remaining_pairs -= 1
            name = _NAME.match(text, position)
            start = name.end() if name else position
            end = self._value_end(start, separator)
            value = text[start:end].strip()
            if name:
                pairs.append((name[1].strip(), _unquote(value)))
            elif pairs and value:
                pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]}{separator} {value}"[:_MAX_VALUE_CHARS])
            position = end + (end < len(text) and text[end] == separator)
        return pairs, position

    def _line_end(self, position: int) -> int:
        end = self._text.find("\n", position)
        return len(self._text) if end < 0 else end

    def _value_end(self, start: int, separator: str) -> int:
        """Position of the separator or line break behind a value."""
        end = start
        opening = self._text[start : start + 1]
        if opening == '"':
            end = self._quote_end(start)
        elif opening and opening in "[{(":
            end = self._bracket_end(start)
        rest = _SEPARATED[separator].search(self._text, end)
        stop = rest.start() if rest else len(self._text)
        if end > start and self._text[end:stop].strip():  # text behind the quote: it was not one
            rest = _SEPARATED[separator].search(self._text, start)
            stop = rest.start() if rest else len(self._text)
        return stop

    def _quote_end(self, start: int) -> int:
        """Position behind a quoted value, or `start` if it is not closed."""
        if self._lookahead <= 0:
            return start
        quoted = _QUOTED.match(self._text, start)
        self._lookahead -= (quoted.end() if quoted else len(self._text)) - start
        return quoted.end() if quoted else start

    def _bracket_end(self, start: int) -> int:
        """Position behind a value in brackets, which may be JSON over several lines, or `start` if not closed."""
        depth, position = 0, start
        while self._lookahead > 0:
            bracket = _BRACKET.search(self._text, position)
            self._lookahead -= _BRACKET_COST + (bracket.end() if bracket else len(self._text)) - position
            if bracket is None:
                return start
            position = bracket.end()
            if bracket[0] == '"':
                position = max(position, self._quote_end(bracket.start()))
                continue
            depth += 1 if bracket[0] in "[{(" else -1
            if depth == 0:
                return position
        return start


def _unquote(value: str) -> str:
    if value.startswith('"'):
        try:
            return str(json.loads(value, strict=False))
        except ValueError:
            return value
    return value
