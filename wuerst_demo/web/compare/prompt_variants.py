r"""Variants in a prompt: `a {cat|dog} in the {snow|sand}` is four prompts, in the order in which they are written.

Prompt weighting does not use braces, so weights go inside (`{cat++|dog}`), around (`({cat|dog})1.5`) or behind
(`{cat|dog}++`). `\{` `\|` `\}` are text without the backslash; braces without a `|` between them are text too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product

from wuerst_demo.errors import InvalidRequest

NESTED_VARIANTS_ERROR = (
    "The prompt has variants within variants; write each of them out, as in {a red cat|a blue cat|a dog}."
)
SPLIT_BRACKET_ERROR = (
    "A bracket of the prompt opens in one variant and closes in another; close it in the same one, or put it around"
    " the braces, as in ({cat|dog})1.5."
)
_MARK_PATTERN = re.compile(r"\\[{|}]|[{|}]")
_BRACKET_PATTERN = re.compile(r"\\[()]|[()]")


@dataclass(frozen=True)
class PromptVariant:
    """One of the prompts."""

    label: str
    """Its choices, in the order of the braces."""
    prompt: str


def expand_variants(prompt: str) -> tuple[PromptVariant, ...]:
    """The distinct prompts that `prompt` stands for, the last braces varying fastest; one without variants.

    Raises InvalidRequest for ambiguous braces.
    """
    parts = _parse_pieces(prompt)
    found: dict[str, PromptVariant] = {}
    for chosen in product(*parts):
        text = "".join(chosen)
        own = (choice.strip() for choice, choices in zip(chosen, parts, strict=True) if len(choices) > 1)
        found.setdefault(text, PromptVariant(", ".join(each or "nothing" for each in own), text))
    return tuple(found.values())


def count_variants(prompt: str) -> int:
    """Upper bound of the number of prompts, without expanding them. Raises InvalidRequest for ambiguous braces."""
    total = 1
    for choices in _parse_pieces(prompt):
        total *= len(choices)
    return total


def _parse_pieces(prompt: str) -> list[tuple[str, ...]]:
    """The prompt in pieces, each a tuple of its choices; plain text has one."""
    # Open braces, the prompt itself outermost: each a list of choices, each of those a list of pieces.
    opened: list[list[list[tuple[str, ...]]]] = [[[]]]
    at = 0
    for mark in _MARK_PATTERN.finditer(prompt):
        pieces = opened[-1][-1]
        if at < mark.start():
            _append(pieces, (prompt[at : mark.start()],))
        at = mark.end()
        match mark[0]:
            case "{":
                opened.append([[]])
            case "|" if len(opened) > 1:
                opened[-1].append([])
            case "}" if len(opened) > 1:
                choices = opened.pop()
                whole = [_merge_choices(choices)] if len(choices) > 1 else [("{",), *choices[0], ("}",)]
                _append(opened[-1][-1], *whole)
            case text:
                _append(pieces, (text[-1],))
    _append(opened[-1][-1], (prompt[at:],))
    while len(opened) > 1:  # unclosed braces are text
        first, *others = opened.pop()
        _append(opened[-1][-1], ("{",), *first, *(piece for each in others for piece in (("|",), *each)))
    return opened[0][0]


def _append(pieces: list[tuple[str, ...]], *more: tuple[str, ...]) -> None:
    """Append pieces; plain text becomes one piece with the text before it, so that nested braces take linear time."""
    for piece in more:
        if pieces and len(piece) == len(pieces[-1]) == 1:
            pieces[-1] = (pieces[-1][0] + piece[0],)
        else:
            pieces.append(piece)


def _merge_choices(choices: list[list[tuple[str, ...]]]) -> tuple[str, ...]:
    """A piece of several choices. Raises InvalidRequest for nested choices, and for a bracket across two of them."""
    if any(len(piece) > 1 for pieces in choices for piece in pieces):
        raise InvalidRequest(NESTED_VARIANTS_ERROR, "prompt")
    texts = tuple("".join(text for (text,) in pieces) for pieces in choices)
    depths = [_bracket_balance(text) for text in texts]
    if any(depths) and sum(depths) == 0:
        raise InvalidRequest(SPLIT_BRACKET_ERROR, "prompt")
    return texts


def _bracket_balance(text: str) -> int:
    """Opening minus closing brackets."""
    found = _BRACKET_PATTERN.findall(text)
    return found.count("(") - found.count(")")
