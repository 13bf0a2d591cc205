r"""Reads a prompt that may carry weights, in Compel's syntax, in time that grows with its length and no faster.

    prompt   = joined | passages
    joined   = "(" passages ("," passages)* ")" ("." "blend" | "and") "(" numbers ")"      as the whole prompt only
    passages = ("(" passages ")" weight | '"' passages '"' weight | word signs | text)*
    weight   = signs | number
    signs    = "+"...  (each times 1.1)  |  "-"...  (each times 0.9)

Weights of nested brackets multiply. What carries no weight is text and keeps every character, brackets and quotes too,
so a prompt without weights is read exactly as it stands. `\(` `\)` `\"` `\+` `\-` are text without the backslash.

Compel's own parser is not used: five nested brackets take it seconds, a page of plain text half a second, and it drops
quotes and brackets without a word. Where both read weights, the tests hold this one to it.

Does not know torch, Compel, tokens or embeddings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from wuerst_demo.errors import PromptError
from wuerst_demo.model import syntax
from wuerst_demo.model.syntax import OFF
from wuerst_demo.request import DESCRIPTIONS, Text

_WORD = re.compile(r"\s*\S+\s*")
LIGHTEST = 24
"""Passages that may weigh less than 1: each costs the text encoder passes of its own."""
PROMPTS = 16
"""Prompts in one .blend() or .and()."""


@dataclass(frozen=True)
class Word:
    """A word of the prompt as it was read, with the space behind it, and its weight: 1 is plain text."""

    text: str
    weight: float


@dataclass(frozen=True)
class Reading:
    """How a prompt is read.

    `words` joined are the text that is encoded. `tokens` counts what the encoder sees of them, its start and end marks
    included: `limit` is what fits in one row. `beyond` is the text after the first row: used in further rows with
    weighting, cut off without. `notes` are sentences for the person who wrote the prompt, and may quote it.
    """

    words: tuple[Word, ...]
    tokens: int
    limit: int
    beyond: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Passage:
    """A stretch of text of one weight, 0 to syntax.HEAVIEST."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Parsed:
    """One prompt, or several that are blended into one text or put side by side.

    `prompts` has at least one prompt of at least one passage, `weights` as many numbers as there are prompts. A blend's
    weights are divided by their sum if `normalize`.
    """

    prompts: tuple[tuple[Passage, ...], ...]
    join: Literal["", "blend", "and"] = ""
    weights: tuple[float, ...] = (1.0,)
    normalize: bool = True
    notes: tuple[str, ...] = ()


def parse(prompt: str, weighting: bool) -> Parsed:
    """The prompt with its weights, or with `weighting` off as one passage of plain text.

    Raises PromptError, with the remedy, for what is clearly meant as weighting and cannot be read, and for text that
    cannot be encoded at all: too long, or with half a character in it.
    """
    description = DESCRIPTIONS["prompt"]
    if isinstance(description, Text) and len(prompt) > description.longest:
        longest = f"{description.longest:,}"
        raise PromptError(f"The text is {len(prompt):,} characters long; shorten it to at most {longest}.")
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        raise PromptError("The text holds half of a character (a lone surrogate); remove it.")
    if not weighting or not syntax.MARKS.search(prompt):
        return Parsed(((Passage(prompt),),))
    return _Reader(prompt).parsed()


def words(parsed: Parsed) -> tuple[Word, ...]:
    """The words of all prompts in their order."""
    found: list[Word] = []
    for passages in parsed.prompts:
        if found and not found[-1].text[-1].isspace():
            found[-1] = Word(found[-1].text + " ", found[-1].weight)
        found += [Word(word, passage.weight) for passage in passages for word in _words(passage.text)]
    return tuple(found)


class _Reader:
    """One prompt being read: what was seen on the way ends up in the notes."""

    def __init__(self, prompt: str) -> None:
        self._text = prompt
        self._signed: dict[str, str] = {}
        self._escaped = False
        self._empty = False
        self._idle = False
        self._foreign = False
        self._partners, self._lonely = syntax.partners(prompt)
        self._closers = set(self._partners.values())

    def parsed(self) -> Parsed:
        text = self._text
        start, end = len(text) - len(text.lstrip()), len(text.rstrip())
        join: Literal["", "blend", "and"] = ""
        weights: tuple[float, ...] = (1.0,)
        normalize = True
        operator = self._operator(start, end)
        if operator is None:
            prompts = [self._passages(0, len(text))]
        else:
            spans = list(self._split(start + 1, self._partners[start]))
            if len(spans) > PROMPTS:
                raise PromptError(f".blend() and .and() take at most {PROMPTS} prompts; leave some out, {OFF}.")
            prompts = [self._passages(*self._bare(*span)) for span in spans]
            join = "blend" if operator["join"] == "blend" else "and"
            weights, normalize = syntax.options(text[operator.end() : end - 1], join, len(prompts))
        if sum(passage.weight < 1 for passages in prompts for passage in passages) > LIGHTEST:
            raise PromptError(f"More than {LIGHTEST} passages weigh less than 1; weaken fewer of them, {OFF}.")
        return Parsed(tuple(prompts), join, weights, normalize, tuple(self._notes(join, weights)))

    def _operator(self, start: int, end: int) -> re.Match[str] | None:
        """The .blend( or .and( behind a bracket, both spanning the whole prompt; PromptError for any other."""
        found = None
        if syntax.LORA.search(self._text):
            raise PromptError(f"withLora() loads nothing here; remove it, {OFF}.")
        for match in syntax.OPERATOR.finditer(self._text):
            if match["other"] == "swap":
                raise PromptError(f".swap() is not done here; write the prompt with the word you want, {OFF}.")
            if match["other"]:
                raise PromptError(f".attend() is not read here; write (words)1.5, {OFF}.")
            behind = self._text[start] == "(" and self._partners.get(start) == match.start() - 1
            if not behind or self._partners.get(match.end() - 1) != end - 1:
                raise PromptError(
                    f'.{match["join"]}() must make up the whole prompt, as in ("a cat", "a dog").blend(0.7, 0.3), with'
                    rf" every bracket and quote closed; brackets that are text are written \( and \), {OFF}."
                )
            found = match
        return found

    def _split(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The spans between the commas that no bracket or quote encloses."""
        begin = i = start
        while i < end:
            if self._text[i] == ",":
                yield begin, i
                begin = i + 1
            i = self._partners.get(i, i) + 1
        yield begin, end

    def _bare(self, start: int, end: int) -> tuple[int, int]:
        """The span without the space around it and without quotes or brackets that enclose all of it."""
        while start < end and self._text[start].isspace():
            start += 1
        while start < end and self._text[end - 1].isspace():
            end -= 1
        return (start + 1, end - 1) if self._partners.get(start) == end - 1 else (start, end)

    def _passages(self, start: int, end: int) -> tuple[Passage, ...]:
        """A span's text, cut where the weight changes."""
        text, passages, buffer = self._text, list[Passage](), list[str]()
        weights = [1.0]
        resume: dict[int, int] = {}  # where a weighted bracket closes -> behind its weight

        def flush() -> None:
            _add(passages, "".join(buffer), weights[-1])
            buffer.clear()

        i = fresh = start  # fresh: a bracket may stand here, whatever is before it
        while i < end:
            if i in resume:
                flush()
                weights.pop()
                i = fresh = resume[i]
            elif syntax.escapes(text, i, end):
                self._escaped = True
                buffer.append(text[i + 1])
                i += 2
            elif (weighted := self._weighted(i, end, fresh)) is not None:
                flush()
                closer, behind, weight = weighted
                resume[closer] = behind
                weights.append(syntax.bounded(weights[-1] * weight))
                self._idle |= weights[-1] == 1
                i += 1
            elif (signed := self._signed_word(i, start, end)) is not None:
                flush()
                weight = syntax.bounded(weights[-1] * syntax.weight_of(signed))
                _add(passages, signed["word"], weight)
                self._signed[signed[0]] = f"'{_short(signed[0])}' as '{_short(signed['word'])}' with weight {weight:g}"
                i = signed.end()
            else:
                buffer.append(text[i])
                i += 1
        flush()
        return tuple(passages) or (Passage(text[start:end]),)

    def _weighted(self, i: int, end: int, fresh: int) -> tuple[int, int, float] | None:
        """For a bracket or quote at i that has a weight: where it closes, what follows the weight, and the weight."""
        closer = self._partners.get(i)
        if closer is None or closer >= end:
            return None
        if i > fresh and (self._text[i - 1].isalnum() or self._text[i - 1] == "_"):  # cat(s)2, f(x)2
            return None
        match = syntax.WEIGHT.match(self._text, closer + 1, end)
        if match is None:
            self._foreign |= self._text[i] == "(" and bool(
                syntax.COLON.search(self._text, max(i, closer - 12), closer + 1)
            )
            return None
        if not self._text[i + 1 : closer].strip():
            self._empty = True
            return None
        return closer, match.end(), syntax.weight_of(match)

    def _signed_word(self, i: int, start: int, end: int) -> re.Match[str] | None:
        """A word at i with + or - behind it, unless it is part of a longer one or of an emoticon such as 8-)."""
        if i > start and not (self._text[i - 1].isspace() or self._text[i - 1] in '(",'):
            return None
        match = syntax.SIGNED.match(self._text, i, end)
        if match is None or not any(character.isalnum() for character in match["word"]):
            return None
        next_one = self._text[match.end() : match.end() + 1]
        return None if next_one == ")" and match.end() not in self._closers else match

    def _notes(self, join: str, weights: Sequence[float]) -> Iterator[str]:
        """What the writer should know: everything that is not read as it looks."""
        if join:
            how = "blended" if join == "blend" else "put side by side"
            yield f"Read as {len(weights)} prompt{'s'[: len(weights) - 1]}, {how} with the weight {_listed(weights)}."
        if self._signed:
            first, *others = self._signed
            escaped = _short("".join(f"\\{sign}" if sign in "+-" else sign for sign in first))
            shown = ", ".join(list(self._signed.values())[:3]) + (f" and {len(others) - 2} more" if others[2:] else "")
            yield f"Read {shown}. For the text itself write {escaped} or turn prompt weighting off."
        if self._escaped:
            yield "Brackets, quotes, + and - behind a backslash are read as text, without the backslash."
        if self._lonely:
            yield "A bracket without its partner is read as text."
        if self._empty:
            yield "A weight behind empty brackets is read as text."
        if self._idle:
            yield "A weight that comes to 1 changes nothing; it is left out together with its brackets."
        if self._foreign:
            yield "(words:1.3) is how other programs write a weight. It is read as text; here it is (words)1.3."


def _add(passages: list[Passage], text: str, weight: float) -> None:
    """Appends, or extends the last passage if the weight is the same; space alone has no weight of its own."""
    if not text:
        return
    last = passages[-1] if passages else None
    if last is None or not (text.isspace() or last.text.isspace() or last.weight == weight):
        passages.append(Passage(text, weight))
        return
    gap = "" if last.text[-1].isspace() or text[0].isspace() else " "
    passages[-1] = Passage(last.text + gap + text, last.weight if text.isspace() else weight)


def _words(text: str) -> list[str]:
    """The text in words, each with the space behind it, the first with that before it; nothing if all is space."""
    return _WORD.findall(text) if text.strip() else []


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:29]}…"


def _listed(weights: Sequence[float]) -> str:
    *others, last = [f"{weight:g}" for weight in weights]
    return f"{', '.join(others)} and {last}" if others else last
