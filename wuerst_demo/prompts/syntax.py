r"""Tokens of Compel's prompt syntax: brackets, quotes, weights, and the operators .blend() and .and().

Every function runs in time linear in the length of the text.
"""

from __future__ import annotations

import math
import re

from wuerst_demo.errors import PromptError

MAX_BRACKET_DEPTH = 10
"""Brackets that may be open at once."""
MAX_WEIGHT = 10.0
"""Images suffer above 2 already; far above 10, values overflow."""
PLUS_FACTOR, MINUS_FACTOR = 1.1, 0.9
"""Factors of each + and each -, as in Compel."""

_NUMBER = r"(?:[0-9]+\.[0-9]+|\.[0-9]+|[0-9]+(?!,[0-9]))"
_SIGNS = r"(?:\+{2,}|-{2,})(?![\w+-])|[+-](?![\w+\-(])"
_PLAIN = r"[^\s()\",.=+\-\\]++"

MARK_PATTERN = re.compile(r'[()"+\-]')
"""Characters without which a prompt is plain text."""
WEIGHT_PATTERN = re.compile(rf"(?P<signs>{_SIGNS})|(?P<number>{_NUMBER})(?![\w%]|[.-][0-9])")
"""A weight after a bracket or quote, unless a word or a longer number continues: (the)2nd, (555)123-4567."""
SIGNED_WORD_PATTERN = re.compile(
    rf"(?P<word>{_PLAIN}(?:[+-]++{_PLAIN})*)(?P<signs>\++|-+)(?=[\s,.;:!?'\")]|\Z)(?!\.[0-9])"
)
"""A word that ends in signs; hyphens inside belong to the word. The group is not possessive: Python before 3.11.5
matches too much then (https://github.com/python/cpython/issues/106052)."""
OPERATOR_PATTERN = re.compile(
    r"(?<=[)\"])(?<!\\[)\"])\s*\.(?P<join>blend|and|add)\(|(?<=[\w)\"])(?<!\\[)\"])\.(?P<other>swap|attend)\("
)
"""Compel's operators on whole prompts; those in `join` are supported, those in `other` are not."""
LORA_CALL_PATTERN = re.compile(r"\b(?:use|with)Lora\(")
_OPTION_PATTERN = re.compile(r"\s*(-?[0-9]*\.?[0-9]+)\s*")


def is_escape(text: str, i: int, end: int) -> bool:
    """Whether text[i] is a backslash that escapes the mark after it."""
    return text[i] == "\\" and i + 1 < end and text[i + 1] in '()"+-'


def match_brackets(text: str) -> tuple[dict[int, int], bool]:
    """Opening -> closing position of properly nested brackets and quotes, and whether any bracket is unmatched.

    Raises PromptError if more than MAX_BRACKET_DEPTH brackets are open at once.
    """
    found: dict[int, int] = {}
    opened: list[int] = []  # brackets, and at most one quote within each
    depth, unmatched, i = 0, False, 0
    while i < len(text):
        match text[i]:
            case "\\" if is_escape(text, i, len(text)):
                i += 1
            case "(":
                opened.append(i)
                depth += 1
                if depth > MAX_BRACKET_DEPTH:
                    raise PromptError(
                        "More than {most} brackets are open at once; close or remove some, or turn"
                        " prompt weighting off.",
                        most=MAX_BRACKET_DEPTH,
                    )
            case ")" if depth:
                if text[opened[-1]] == '"':  # a quote still open inside the bracket is text
                    opened.pop()
                found[opened.pop()] = i
                depth -= 1
            case ")":
                unmatched = True
            case '"':
                if opened and text[opened[-1]] == '"':
                    found[opened.pop()] = i
                elif not (i and text[i - 1].isalnum()):  # 5" is a length
                    opened.append(i)
        i += 1
    return found, unmatched or depth > 0


def parse_weight(match: re.Match[str]) -> float:
    """The weight in a match of WEIGHT_PATTERN or SIGNED_WORD_PATTERN."""
    if signs := match["signs"]:
        return float(pow(PLUS_FACTOR if signs[0] == "+" else MINUS_FACTOR, len(signs)))
    return float(match["number"])


def validate_weight(weight: float) -> float:
    """The weight itself. Raises PromptError above MAX_WEIGHT."""
    if weight > MAX_WEIGHT:
        raise PromptError(
            "A weight is larger than {most:g}; use a smaller number or fewer +, or turn prompt weighting off.",
            most=MAX_WEIGHT,
        )
    return weight


def parse_operator_weights(text: str, join: str, prompts: int) -> tuple[tuple[float, ...], bool]:
    """The weights in the brackets of .blend() or .and(), one per prompt, and whether a blend divides by their sum.

    Raises PromptError for weights that are not numbers, of another count, or so large that embeddings could overflow.
    """
    given = text.split(",") if text.strip() else []
    normalize = not (join == "blend" and given and given[-1].strip() == "no_normalize")
    matches = [_OPTION_PATTERN.fullmatch(option) for option in (given if normalize else given[:-1])]
    weights = tuple(float(match[1]) for match in matches if match)
    if len(weights) < len(matches):
        raise PromptError(
            "The weights of .{join}() must be numbers, as in .{join}(0.7, 0.3); correct them, or turn"
            " prompt weighting off.",
            join=join,
        )
    if weights and len(weights) != prompts:
        raise PromptError(
            "The prompts of .{join}() are {prompts}, its weights {weights}; give one for each, or"
            " none, or turn prompt weighting off.",
            join=join,
            prompts=prompts,
            weights=len(weights),
        )
    weights = weights or (1.0,) * prompts
    total = sum(weights) if join == "blend" and normalize else 1.0
    if not math.isfinite(total) or not total or any(abs(weight) > MAX_WEIGHT * abs(total) for weight in weights):
        raise PromptError(
            "The weights of .{join}() are too large, or cancel out; choose others, or turn prompt weighting off.",
            join=join,
        )
    return weights, normalize
