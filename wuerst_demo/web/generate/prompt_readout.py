"""Read-out under the prompt: token count, weights as highlighted spans, notes, words unknown to the checkpoint.

Text from a user leaves here either as plain text (spans) or escaped (HTML).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from html import escape

from wuerst_demo.messages import message
from wuerst_demo.web.context import PromptReadout
from wuerst_demo.web.i18n.translate import translate

STRONGER_WEIGHT_COLORS = ("#7a3b12", "#a34a12", "#c2410c", "#d9460a")
WEAKER_WEIGHT_COLORS = ("#31556b", "#2a6a8c", "#1f7aa8", "#0f86c4")
"""From a slight weight to a heavy one. Dark enough for white labels, light enough to stand out on black."""
FUNCTION_WORDS = frozenset(("and", "or", "with", "for", "from", "to", "its", "some", "very"))
"""Words without a meaning of their own, which are never reported as unknown."""
MAX_LISTED_WORDS = 5
MAX_WORD_CHARS = 30
_WORD_PATTERN = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class PromptHighlights:
    """A prompt's read-out for display."""

    spans: tuple[tuple[str, str | None], ...]
    """Stretches of the prompt, each with the label of its weight, or None for weight 1."""
    colors: dict[str, str]
    """Color of each label."""
    summary: str
    """Token count, truncated text, notes and unknown words, as one line of HTML."""

    @property
    def weighted(self) -> bool:
        return any(label is not None for _, label in self.spans)


def describe_prompt(readout: PromptReadout, vocabulary: Sequence[str] = (), object_count: int = 0) -> PromptHighlights:
    """The highlights of a parsed prompt. `vocabulary` and `object_count`: see `render_vocabulary_hint`."""
    spans = tuple((word.text, None if word.weight == 1 else _weight_label(word.weight)) for word in readout.words)
    colors = {_weight_label(word.weight): _weight_color(word.weight) for word in readout.words if word.weight != 1}
    unknown = find_unknown_words("".join(word.text for word in readout.words), vocabulary)
    hint = render_vocabulary_hint(unknown, vocabulary, object_count)
    return PromptHighlights(spans, colors, _render_summary(readout) + hint)


def describe_rejection(reason: str) -> PromptHighlights:
    """The highlights of a prompt that cannot be parsed, for a reason."""
    return PromptHighlights((), {}, f'<span class="rejected">{escape(translate(reason))}</span>')


def find_unknown_words(text: str, vocabulary: Sequence[str]) -> tuple[str, ...]:
    """The words of `text` that occur in no phrase of `vocabulary`: lower case, unique, in order, no function words.

    An empty vocabulary stands for a checkpoint that may know every word.
    """
    if not vocabulary:
        return ()
    known = FUNCTION_WORDS | {word for phrase in vocabulary for word in _WORD_PATTERN.findall(phrase.lower())}
    return tuple(dict.fromkeys(word for word in _WORD_PATTERN.findall(text.lower()) if word not in known))


def render_vocabulary_hint(words: Sequence[str], vocabulary: Sequence[str], object_count: int) -> str:
    """A line of HTML that names unknown `words` and what the checkpoint knows instead; "" without words.

    The first `object_count` phrases of `vocabulary` name objects.
    """
    if not words:
        return ""
    more = len(words) - MAX_LISTED_WORDS
    listed = ", ".join(_render_word(word, vocabulary) for word in words[:MAX_LISTED_WORDS])
    if more > 0:
        listed = message("{names} and {count} more", names=listed, count=more)
    things = ", ".join(escape(each) for each in _sample(vocabulary[:object_count] or vocabulary))
    match object_count:
        case 0:
            known = message("The checkpoint knows words such as {things}.", things=things)
        case 1:
            known = message("The checkpoint knows 1 thing, such as {things}.", things=things)
        case _:
            known = message("The checkpoint knows {count} things, such as {things}.", count=object_count, things=things)
    return f"<span class='new'>{translate(message('Unknown: {words}.', words=listed))} {translate(known)}</span>"


def _render_word(word: str, vocabulary: Sequence[str]) -> str:
    near = get_close_matches(word[:MAX_WORD_CHARS], vocabulary, n=1, cutoff=0.72)
    shown = word if len(word) <= MAX_WORD_CHARS else word[:MAX_WORD_CHARS] + "…"
    quoted = f"<q>{escape(shown)}</q>"
    if not near:
        return quoted
    return translate(message("{word} (try {other})", word=quoted, other=f"<q>{escape(near[0])}</q>"))


def _sample(phrases: Sequence[str]) -> Sequence[str]:
    """Six phrases, evenly spaced."""
    return phrases[:: max(1, len(phrases) // 6)][:6]


def _weight_label(weight: float) -> str:
    return f"× {weight:.2f}".rstrip("0").rstrip(".")


def _weight_color(weight: float) -> str:
    shades = STRONGER_WEIGHT_COLORS if weight > 1 else WEAKER_WEIGHT_COLORS
    distance = abs(weight - 1)
    return shades[sum(distance > bound for bound in (0.15, 0.35, 0.65))]


def _render_summary(readout: PromptReadout) -> str:
    over = readout.tokens > readout.limit
    count = translate(message("{tokens} of {limit} tokens", tokens=readout.tokens, limit=readout.limit))
    parts = [f'<span class="{"count over" if over else "count"}">{count}</span>']
    if readout.beyond:
        words = f"<q>{escape(readout.beyond)}</q>"
        parts.append(
            f"<span>{translate(message('After the first {limit}: {words}', limit=readout.limit, words=words))}</span>"
        )
    parts.extend(f"<span>{escape(translate(note))}</span>" for note in readout.notes)
    return "".join(parts)
