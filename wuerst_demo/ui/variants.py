r"""Variants in a prompt: `a {cat|dog} in the {snow|sand}` is four prompts, in the order in which they are written.

Braces are none of the marks of prompt weighting, so weights go inside (`{cat++|dog}`), around (`({cat|dog})1.5`) or
behind (`{cat|dog}++`). `\{` `\|` `\}` are text without the backslash; braces without a `|` between them are text too.

Does not know Gradio, or how weights are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product

from wuerst_demo.errors import InvalidRequest

NESTED = "The prompt has variants within variants; write each of them out, as in {a red cat|a blue cat|a dog}."
SPLIT = (
    "A bracket of the prompt opens in one variant and closes in another; close it in the same one, or put it around"
    " the braces, as in ({cat|dog})1.5."
)
_MARK = re.compile(r"\\[{|}]|[{|}]")
_BRACKET = re.compile(r"\\[()]|[()]")


@dataclass(frozen=True)
class Variant:
    """One prompt of several; `label` is what is its own: its choices, in the order of the braces."""

    label: str
    prompt: str


def variants(prompt: str) -> tuple[Variant, ...]:
    """The prompts that `prompt` stands for, first braces slowest, each once; a prompt without variants is one.

    Raises InvalidRequest for braces that cannot be told apart.
    """
    parts = _parts(prompt)
    found: dict[str, Variant] = {}
    for chosen in product(*parts):
        text = "".join(chosen)
        own = (choice.strip() for choice, choices in zip(chosen, parts, strict=True) if len(choices) > 1)
        found.setdefault(text, Variant(", ".join(each or "nothing" for each in own), text))
    return tuple(found.values())


def count(prompt: str) -> int:
    """How many prompts `variants` would give at most, without making them. Raises InvalidRequest as it does."""
    total = 1
    for choices in _parts(prompt):
        total *= len(choices)
    return total


def _parts(prompt: str) -> list[tuple[str, ...]]:
    """The prompt in pieces, each with its choices; plain text is a piece with one."""
    # Braces that are open, the prompt itself outermost: each a list of choices, each of those a list of pieces.
    opened: list[list[list[tuple[str, ...]]]] = [[[]]]
    at = 0
    for mark in _MARK.finditer(prompt):
        pieces = opened[-1][-1]
        pieces.append((prompt[at : mark.start()],))
        at = mark.end()
        match mark[0]:
            case "{":
                opened.append([[]])
            case "|" if len(opened) > 1:
                opened[-1].append([])
            case "}" if len(opened) > 1:
                choices = opened.pop()
                opened[-1][-1].extend([_braces(choices)] if len(choices) > 1 else [("{",), *choices[0], ("}",)])
            case text:
                pieces.append((text[-1],))
    opened[-1][-1].append((prompt[at:],))
    while len(opened) > 1:  # what was never closed is text
        first, *others = opened.pop()
        opened[-1][-1].extend([("{",), *first, *(piece for each in others for piece in (("|",), *each))])
    return opened[0][0]


def _braces(choices: list[list[tuple[str, ...]]]) -> tuple[str, ...]:
    """A piece of several choices. Raises InvalidRequest where one of them has choices itself, or tears brackets."""
    if any(len(piece) > 1 for pieces in choices for piece in pieces):
        raise InvalidRequest(NESTED, "prompt")
    texts = tuple("".join(text for (text,) in pieces) for pieces in choices)
    depths = [_depth(text) for text in texts]
    if any(depths) and sum(depths) == 0:
        raise InvalidRequest(SPLIT, "prompt")
    return texts


def _depth(text: str) -> int:
    """Brackets that open in the text less those that close in it."""
    found = _BRACKET.findall(text)
    return found.count("(") - found.count(")")
