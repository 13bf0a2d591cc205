r"""The marks of Compel's prompt syntax: brackets, quotes, weights, and the operators .blend() and .and().

Every function here looks at each character a bounded number of times.

Does not know what is made of the marks; see `reading`.
"""

from __future__ import annotations

import math
import re

from wuerst_demo.errors import PromptError

DEEPEST = 10
"""Brackets that may be open at once."""
HEAVIEST = 10.0
"""The largest weight. Above 2 pictures suffer already; far above it numbers overflow."""
PLUS, MINUS = 1.1, 0.9
"""What each + and each - multiplies a weight by, as in Compel."""
OFF = "or turn prompt weighting off"
"""How errors about syntax end: the remedy that always works."""

_NUMBER = r"(?:[0-9]+\.[0-9]+|\.[0-9]+|[0-9]+(?!,[0-9]))"
_SIGNS = r"(?:\+{2,}|-{2,})(?![\w+-])|[+-](?![\w+\-(])"
_PLAIN = r"[^\s()\",.=+\-\\]++"

MARKS = re.compile(r'[()"+\-]')
"""A prompt without any of these has no syntax."""
WEIGHT = re.compile(rf"(?P<signs>{_SIGNS})|(?P<number>{_NUMBER})(?![\w%]|[.-][0-9])")
"""A weight behind a bracket or quote. What goes on as a word or a longer number is none: (the)2nd, (555)123-4567."""
SIGNED = re.compile(rf"(?P<word>{_PLAIN}(?:[+-]++{_PLAIN})*)(?P<signs>\++|-+)(?=[\s,.;:!?'\")]|\Z)")
"""A word with signs at its end; a hyphen within is part of the word. The group is not possessive: Python before 3.11.5
takes too much then (https://github.com/python/cpython/issues/106052)."""
OPERATOR = re.compile(
    r"(?<=[)\"])(?<!\\[)\"])\s*\.(?P<join>blend|and|add)\(|(?<=[\w)\"])(?<!\\[)\"])\.(?P<other>swap|attend)\("
)
"""What Compel does with whole prompts; `join` is read here, `other` is not."""
LORA = re.compile(r"\b(?:use|with)Lora\(")
COLON = re.compile(r"[^\W\d_]\s*:\s*[0-9.]+\s*\)\Z")
"""The end of a weight as other programs write it: (cat:1.3)."""
_OPTION = re.compile(r"\s*(-?[0-9]*\.?[0-9]+)\s*")


def escapes(text: str, i: int, end: int) -> bool:
    """Whether a backslash stands at i that makes text of the mark behind it."""
    return text[i] == "\\" and i + 1 < end and text[i + 1] in '()"+-'


def partners(text: str) -> tuple[dict[int, int], bool]:
    """Where each bracket and quote that opens closes, properly nested, and whether a bracket was left without partner.

    Raises PromptError if more than DEEPEST brackets are open at once.
    """
    found: dict[int, int] = {}
    opened: list[int] = []  # brackets, and at most one quote within each
    depth, lonely, i = 0, False, 0
    while i < len(text):
        match text[i]:
            case "\\" if escapes(text, i, len(text)):
                i += 1
            case "(":
                opened.append(i)
                depth += 1
                if depth > DEEPEST:
                    raise PromptError(f"More than {DEEPEST} brackets are open at once; close or remove some, {OFF}.")
            case ")" if depth:
                if text[opened[-1]] == '"':  # a quote that is still open within the bracket was none
                    opened.pop()
                found[opened.pop()] = i
                depth -= 1
            case ")":
                lonely = True
            case '"':
                if opened and text[opened[-1]] == '"':
                    found[opened.pop()] = i
                elif not (i and text[i - 1].isalnum()):  # 5" is a measure
                    opened.append(i)
        i += 1
    return found, lonely or depth > 0


def weight_of(match: re.Match[str]) -> float:
    """The weight that a match of WEIGHT or SIGNED stands for."""
    if signs := match["signs"]:
        return float(pow(PLUS if signs[0] == "+" else MINUS, len(signs)))
    return float(match["number"])


def bounded(weight: float) -> float:
    """The weight, if it is not above HEAVIEST; else PromptError."""
    if weight > HEAVIEST:
        raise PromptError(f"A weight is larger than {HEAVIEST:g}; use a smaller number or fewer +, {OFF}.")
    return weight


def options(text: str, join: str, prompts: int) -> tuple[tuple[float, ...], bool]:
    """The weights in the brackets of .blend() or .and(), one for each prompt, and whether a blend divides by their sum.

    Raises PromptError if they are no numbers, of another count, or so large that what they weigh would overflow.
    """
    given = text.split(",") if text.strip() else []
    normalize = not (join == "blend" and given and given[-1].strip() == "no_normalize")
    matches = [_OPTION.fullmatch(option) for option in (given if normalize else given[:-1])]
    weights = tuple(float(match[1]) for match in matches if match)
    if len(weights) < len(matches):
        raise PromptError(f"The weights of .{join}() must be numbers, as in .{join}(0.7, 0.3); correct them, {OFF}.")
    if weights and len(weights) != prompts:
        raise PromptError(
            f"The prompts of .{join}() are {prompts}, its weights {len(weights)}; give one for each, or none, {OFF}."
        )
    weights = weights or (1.0,) * prompts
    total = sum(weights) if join == "blend" and normalize else 1.0
    if not math.isfinite(total) or not total or any(abs(weight) > HEAVIEST * abs(total) for weight in weights):
        raise PromptError(f"The weights of .{join}() are too large, or cancel out; choose others, {OFF}.")
    return weights, normalize
