"""Prompts as lines of text, each with settings of its own: `a fox in the snow --seed 7 --width 384`.

A line's prompt ends at its first ` --`; then come fields of a request as on the command line, each up to the next
` --`, so that values need no quotes. Empty lines and lines that begin with `#` are left out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType

from wuerst_demo.errors import InvalidRequest, UserError
from wuerst_demo.fields import Switch, parse_value
from wuerst_demo.options import request_flag
from wuerst_demo.request import DESCRIPTIONS

FIELD_OF_FLAG: Mapping[str, str] = MappingProxyType({request_flag(name): name for name in DESCRIPTIONS})
"""Flag -> the field of `Request` that it sets, or switches to the opposite of its default."""
_FLAG_PATTERN = re.compile(r"(?:^|\s+)--(?=[^\W\d_])")
_MAX_QUOTED_CHARS = 40


def list_prompt_lines(text: str) -> list[tuple[int, str]]:
    """The lines of a text that hold a prompt, without the space around them, each with its number, from 1."""
    lines = ((number, line.strip()) for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1))
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def parse_prompt_line(line: str) -> dict[str, object]:
    """The values of a line by field name, for `Limits.request`. Raises InvalidRequest for an option it cannot have."""
    prompt, *options = _FLAG_PATTERN.split(line)
    values: dict[str, object] = {"prompt": prompt}
    for option in options:
        name, value = re.fullmatch(r"([^\s=]+)(?:\s*=\s*|\s+|$)(.*)", option, re.DOTALL).groups()  # type: ignore[union-attr]
        field = FIELD_OF_FLAG.get(flag := f"--{name}")
        if field is None:
            raise _unknown_flag_error(flag)
        description = DESCRIPTIONS[field]
        if isinstance(description, Switch):
            if value:
                raise InvalidRequest("{flag} takes no value; write it behind the prompt.", field, flag=flag)
            values[field] = not description.default
            continue
        if not value:
            raise InvalidRequest("{flag} needs a value, such as --seed 7.", field, flag=flag)
        values[field] = parse_value(description, re.sub(r'^"([^"]*)"$', r"\1", value))
    return values


def line_error(number: int, error: UserError) -> UserError:
    """The error of one of many lines, which names it."""
    return UserError("Line {number}: {reason}", number=number, reason=error.message)


def _unknown_flag_error(flag: str) -> InvalidRequest:
    shown = "".join(filter(str.isprintable, flag))[:_MAX_QUOTED_CHARS]
    if near := difflib.get_close_matches(shown, FIELD_OF_FLAG, n=1):
        return InvalidRequest("There is no option {flag}; did you mean {near}?", flag=shown, near=near[0])
    return InvalidRequest("There is no option {flag} for a prompt; leave it out.", flag=shown)
