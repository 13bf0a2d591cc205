r"""Parser of weighted prompts in Compel's syntax, in linear time.

    prompt   = joined | passages
    joined   = "(" passages ("," passages)* ")" ("." "blend" | "and") "(" numbers ")"      as the whole prompt only
    passages = ("(" passages ")" weight | '"' passages '"' weight | word signs | text)*
    weight   = signs | number
    signs    = "+"...  (each times 1.1)  |  "-"...  (each times 0.9)

Weights of nested brackets multiply. Everything without a weight is text and keeps every character, brackets and quotes
included, so a prompt without weights stays exactly as it is. `\(` `\)` `\"` `\+` `\-` are text without the backslash.

Compel's own parser needs seconds for five nested brackets and half a second for a page of plain text, and drops quotes
and brackets silently. The tests compare the weights of both parsers. This module needs neither torch nor Compel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from wuerst_demo.errors import PromptError
from wuerst_demo.fields import Text
from wuerst_demo.messages import Message, message
from wuerst_demo.prompts import syntax
from wuerst_demo.prompts.foreign_syntax import find_foreign_syntax
from wuerst_demo.request import DESCRIPTIONS

_WORD_PATTERN = re.compile(r"\s*\S+\s*")
MAX_DOWNWEIGHTED_PASSAGES = 24
"""Passages of weight below 1, each of which needs its own passes of the text encoder."""
MAX_LISTED_WORDS = 3
"""Words with signs that a note lists."""
MAX_JOINED_PROMPTS = 16
"""Prompts in one .blend() or .and()."""


@dataclass(frozen=True)
class WeightedWord:
    """A word of the parsed prompt, with the space after it."""

    text: str
    weight: float
    """1 is plain text."""


@dataclass(frozen=True)
class PromptReport:
    """How a prompt is parsed and tokenized, for the user who wrote it."""

    words: tuple[WeightedWord, ...]
    """Joined, the text that is encoded."""
    tokens: int
    """Tokens of that text, with the start and end tokens of every chunk."""
    limit: int
    """Tokens of one chunk (77)."""
    beyond: str = ""
    """The text after the first chunk: encoded in further chunks with weighting, cut off without."""
    notes: tuple[str, ...] = ()
    """Sentences for the user, which may quote the prompt."""


@dataclass(frozen=True)
class Passage:
    """Consecutive text of one weight."""

    text: str
    weight: float = 1.0
    """0 to syntax.MAX_WEIGHT."""


@dataclass(frozen=True)
class ParsedPrompt:
    """One prompt, or several that are blended or concatenated."""

    prompts: tuple[tuple[Passage, ...], ...]
    """At least one prompt of at least one passage."""
    join: Literal["", "blend", "and"] = ""
    weights: tuple[float, ...] = (1.0,)
    """One per prompt."""
    normalize: bool = True
    """Whether a blend's weights are divided by their sum."""
    notes: tuple[str, ...] = ()
    """Sentences for the user about everything that is not read as it looks."""


def parse_prompt(prompt: str, weighting: bool) -> ParsedPrompt:
    """The prompt with its weights, or as one passage of plain text without `weighting`.

    Raises PromptError for invalid syntax that is clearly meant as weighting, for text that is too long, and for lone
    surrogates.
    """
    description = DESCRIPTIONS["prompt"]
    if isinstance(description, Text) and len(prompt) > description.max_chars:
        raise PromptError(
            "The text is {count:,} characters long; shorten it to at most {most:,}.",
            count=len(prompt),
            most=description.max_chars,
        )
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        raise PromptError("The text has half of a character (a lone surrogate); remove it.")
    if not weighting:
        return ParsedPrompt(((Passage(prompt),),))
    if not syntax.MARK_PATTERN.search(prompt):
        return ParsedPrompt(((Passage(prompt),),), notes=tuple(find_foreign_syntax(prompt, False)))
    return _PromptParser(prompt).parse()


def split_words(parsed: ParsedPrompt) -> tuple[WeightedWord, ...]:
    """The words of all prompts, in order."""
    found: list[WeightedWord] = []
    for passages in parsed.prompts:
        if found and not found[-1].text[-1].isspace():
            found[-1] = WeightedWord(found[-1].text + " ", found[-1].weight)
        found += [WeightedWord(word, passage.weight) for passage in passages for word in _split_passage(passage.text)]
    return tuple(found)


class _PromptParser:
    """Parser of one prompt. Its flags become notes."""

    def __init__(self, prompt: str) -> None:
        self._text = prompt
        self._signed_words: dict[str, Message] = {}
        self._has_escapes = False
        self._empty_brackets = False
        self._neutral_weight = False
        self._closing, self._unmatched = syntax.match_brackets(prompt)
        self._closing_positions = set(self._closing.values())

    def parse(self) -> ParsedPrompt:
        text = self._text
        start, end = len(text) - len(text.lstrip()), len(text.rstrip())
        join: Literal["", "blend", "and"] = ""
        weights: tuple[float, ...] = (1.0,)
        normalize = True
        operator = self._find_operator(start, end)
        if operator is None:
            prompts = [self._parse_passages(0, len(text))]
        else:
            spans = list(self._split_at_commas(start + 1, self._closing[start]))
            if len(spans) > MAX_JOINED_PROMPTS:
                raise PromptError(
                    ".blend() and .and() take at most {most} prompts; leave some out, or turn prompt weighting off.",
                    most=MAX_JOINED_PROMPTS,
                )
            prompts = [self._parse_passages(*self._strip_span(*span)) for span in spans]
            join = "blend" if operator["join"] == "blend" else "and"
            weights, normalize = syntax.parse_operator_weights(text[operator.end() : end - 1], join, len(prompts))
        if sum(passage.weight < 1 for passages in prompts for passage in passages) > MAX_DOWNWEIGHTED_PASSAGES:
            raise PromptError(
                "More than {most} passages weigh less than 1; weaken fewer of them, or turn prompt weighting off.",
                most=MAX_DOWNWEIGHTED_PASSAGES,
            )
        return ParsedPrompt(tuple(prompts), join, weights, normalize, tuple(self._build_notes(join, weights)))

    def _find_operator(self, start: int, end: int) -> re.Match[str] | None:
        """The .blend( or .and( of the whole prompt. Raises PromptError for other operators and other places."""
        found = None
        if syntax.LORA_CALL_PATTERN.search(self._text):
            raise PromptError("withLora() is not supported; remove it, or turn prompt weighting off.")
        for match in syntax.OPERATOR_PATTERN.finditer(self._text):
            if match["other"] == "swap":
                raise PromptError(".swap() is not supported; write the word you want, or turn prompt weighting off.")
            if match["other"]:
                raise PromptError(".attend() is not supported; write (words)1.5, or turn prompt weighting off.")
            behind = self._text[start] == "(" and self._closing.get(start) == match.start() - 1
            if not behind or self._closing.get(match.end() - 1) != end - 1:
                raise PromptError(
                    '.{join}() must make up the whole prompt, as in ("a cat", "a dog").blend(0.7, 0.3), with every'
                    r" bracket and quote closed; brackets that are text are written \( and \), or turn prompt"
                    " weighting off.",
                    join=match["join"],
                )
            found = match
        return found

    def _split_at_commas(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The spans between commas outside of brackets and quotes."""
        begin = i = start
        while i < end:
            if self._text[i] == ",":
                yield begin, i
                begin = i + 1
            i = self._closing.get(i, i) + 1
        yield begin, end

    def _strip_space(self, start: int, end: int) -> tuple[int, int]:
        while start < end and self._text[start].isspace():
            start += 1
        while start < end and self._text[end - 1].isspace():
            end -= 1
        return start, end

    def _strip_span(self, start: int, end: int) -> tuple[int, int]:
        """The span without surrounding space and without quotes or brackets that enclose all of it."""
        start, end = self._strip_space(start, end)
        return (start + 1, end - 1) if self._closing.get(start) == end - 1 else (start, end)

    def _parse_passages(self, start: int, end: int) -> tuple[Passage, ...]:
        """The text of a span, split where the weight changes."""
        text, passages, buffer = self._text, list[Passage](), list[str]()
        weights = [1.0]
        resume: dict[int, int] = {}  # closing position of a weighted bracket -> position after its weight

        def flush() -> None:
            _append_passage(passages, "".join(buffer), weights[-1])
            buffer.clear()

        i = after_weight = start  # a bracket here may follow any character
        while i < end:
            if i in resume:
                flush()
                weights.pop()
                i = after_weight = resume[i]
            elif syntax.is_escape(text, i, end):
                self._has_escapes = True
                buffer.append(text[i + 1])
                i += 2
            elif (weighted := self._match_weighted(i, end, after_weight)) is not None:
                flush()
                closing, after, weight = weighted
                resume[closing] = after
                weights.append(syntax.validate_weight(weights[-1] * weight))
                self._neutral_weight |= weights[-1] == 1
                i += 1
            elif (signed := self._match_signed_word(i, start, end)) is not None:
                flush()
                weight = syntax.validate_weight(weights[-1] * syntax.parse_weight(signed))
                _append_passage(passages, signed["word"], weight)
                self._signed_words[signed[0]] = message(
                    "'{written}' as '{word}' with weight {weight:g}",
                    written=shorten(signed[0]),
                    word=shorten(signed["word"]),
                    weight=weight,
                )
                i = signed.end()
            else:
                buffer.append(text[i])
                i += 1
        flush()
        return tuple(passages) or (Passage(text[start:end]),)

    def _match_weighted(self, i: int, end: int, after_weight: int) -> tuple[int, int, float] | None:
        """For a weighted bracket or quote at i: its closing position, the position after its weight, and the weight."""
        closing = self._closing.get(i)
        if closing is None:
            return None
        if i > after_weight and (self._text[i - 1].isalnum() or self._text[i - 1] == "_"):  # cat(s)2, f(x)2
            return None
        match = syntax.WEIGHT_PATTERN.match(self._text, closing + 1, end)
        if match is None:
            return None
        if not self._text[i + 1 : closing].strip():
            self._empty_brackets = True
            return None
        return closing, match.end(), syntax.parse_weight(match)

    def _match_signed_word(self, i: int, start: int, end: int) -> re.Match[str] | None:
        """A word at i that ends in + or -, unless it is part of a longer one or of an emoticon such as 8-)."""
        if i > start and not (self._text[i - 1].isspace() or self._text[i - 1] in '(",'):
            return None
        match = syntax.SIGNED_WORD_PATTERN.match(self._text, i, end)
        if match is None or not any(character.isalnum() for character in match["word"]):
            return None
        following = self._text[match.end() : match.end() + 1]
        return None if following == ")" and match.end() not in self._closing_positions else match

    def _build_notes(self, join: str, weights: Sequence[float]) -> Iterator[str]:
        """Notes about everything that is not read as it looks."""
        if join:
            how = message("blended") if join == "blend" else message("put side by side")
            shown = _format_weights(weights)
            if len(weights) == 1:
                yield message("Read as 1 prompt, {how} with the weight {weights}.", how=how, weights=shown)
            else:
                yield message(
                    "Read as {count} prompts, {how} with the weights {weights}.",
                    count=len(weights),
                    how=how,
                    weights=shown,
                )
        if self._signed_words:
            yield _signed_words_note(self._signed_words)
        if self._has_escapes:
            yield message("Brackets, quotes, + and - behind a backslash are read as text, without the backslash.")
        if self._unmatched:
            yield message("An unmatched bracket is read as text.")
        if self._empty_brackets:
            yield message("A weight behind empty brackets is read as text.")
        if self._neutral_weight:
            yield message("A weight that comes to 1 changes nothing; it is left out together with its brackets.")
        yield from find_foreign_syntax(self._text, self._has_double_brackets())

    def _has_double_brackets(self) -> bool:
        """Whether brackets without a weight enclose nothing but brackets without a weight: ((cat))."""
        text = self._text
        for start, end in self._closing.items():
            inner_start, inner_end = self._strip_space(start + 1, end)
            if (
                text[start] == "("
                and text[inner_start] == "("
                and self._closing.get(inner_start) == inner_end - 1
                and not syntax.WEIGHT_PATTERN.match(text, end + 1)
                and any(character.isalnum() for character in text[start:end])
            ):
                return True
        return False


def _append_passage(passages: list[Passage], text: str, weight: float) -> None:
    """Appends a passage, or extends the last one if the weight is equal; whitespace takes any weight."""
    if not text:
        return
    last = passages[-1] if passages else None
    if last is None or not (text.isspace() or last.text.isspace() or last.weight == weight):
        passages.append(Passage(text, weight))
        return
    gap = "" if last.text[-1].isspace() or text[0].isspace() else " "
    passages[-1] = Passage(last.text + gap + text, last.weight if text.isspace() else weight)


def _split_passage(text: str) -> list[str]:
    """The words of a text, each with the space after it, the first also with that before; none in whitespace."""
    return _WORD_PATTERN.findall(text) if text.strip() else []


def shorten(text: str, length: int = 30) -> str:
    """The text, or its beginning and an ellipsis, in `length` characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _format_weights(weights: Sequence[float]) -> str:
    *others, last = [f"{weight:g}" for weight in weights]
    return message("{names} and {name}", names=", ".join(others), name=last) if others else last


def _signed_words_note(found: Mapping[str, Message]) -> Message:
    """The note on words that end in signs: text as written -> how it is read."""
    first, *_ = found
    shown, *more = list(found.values())[:MAX_LISTED_WORDS]
    for each in more:
        shown = message("{names}, {name}", names=shown, name=each)
    if len(found) > MAX_LISTED_WORDS:
        shown = message("{names} and {count} more", names=shown, count=len(found) - MAX_LISTED_WORDS)
    return message(
        "Read {words}. For the text itself write {escaped} or turn prompt weighting off.",
        words=shown,
        escaped=shorten("".join(f"\\{sign}" if sign in "+-" else sign for sign in first)),
    )
