"""What stands under the prompt: how it was read, as spans with weights and as a short sentence.

Does not know how a prompt is read, nor Gradio. Everything that came from a visitor leaves here either as plain text
(spans) or escaped (HTML).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from wuerst_demo.ui.studio import Reading
from wuerst_demo.ui.vocabulary import hint, unknown

STRONGER = ("#7a3b12", "#a34a12", "#c2410c", "#d9460a")
WEAKER = ("#31556b", "#2a6a8c", "#1f7aa8", "#0f86c4")
"""From a slight weight to a heavy one. Dark enough for white labels, light enough to be told apart on black."""


@dataclass(frozen=True)
class Readout:
    """`spans` are stretches of text, each with the label of its weight or None; `colors` has a color per label.

    `summary` is a line of HTML: the count, what lies beyond, notes, words that are new to the checkpoint.
    """

    spans: tuple[tuple[str, str | None], ...]
    colors: dict[str, str]
    summary: str

    @property
    def weighted(self) -> bool:
        return any(label is not None for _, label in self.spans)


def readout(reading: Reading, knows: Sequence[str] = (), things: int = 0) -> Readout:
    """`knows` and `things`: what the checkpoint has learned, see `studio.Studio`."""
    spans = tuple((word.text, None if word.weight == 1 else _label(word.weight)) for word in reading.words)
    colors = {_label(word.weight): _color(word.weight) for word in reading.words if word.weight != 1}
    new = unknown("".join(word.text for word in reading.words), knows)
    return Readout(spans, colors, _summary(reading) + hint(new, knows, things))


def refused(message: str) -> Readout:
    """The read-out of a prompt that cannot be read; `message` says why."""
    return Readout((), {}, f'<span class="refused">{escape(message)}</span>')


def _label(weight: float) -> str:
    return f"× {weight:.2f}".rstrip("0").rstrip(".")


def _color(weight: float) -> str:
    shades = STRONGER if weight > 1 else WEAKER
    distance = abs(weight - 1)
    return shades[sum(distance > bound for bound in (0.15, 0.35, 0.65))]


def _summary(reading: Reading) -> str:
    over = reading.tokens > reading.limit
    count = f'<span class="{"count over" if over else "count"}">{reading.tokens} of {reading.limit} tokens</span>'
    parts = [count]
    if reading.beyond:
        parts.append(f"<span>Beyond the first {reading.limit}: <q>{escape(reading.beyond)}</q></span>")
    parts.extend(f"<span>{escape(note)}</span>" for note in reading.notes)
    return "".join(parts)
