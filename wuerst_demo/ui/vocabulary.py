"""Words of a prompt that a small checkpoint has never seen, and how to say so kindly.

A checkpoint that lists no words is taken to know them all. Does not know Gradio, or how a prompt is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from html import escape

_WORD = re.compile(r"[^\W\d_]+")
JOINING = frozenset(("and", "or", "with", "for", "from", "to", "its", "some", "very"))
"""Words that draw nothing by themselves; to name them would be no help."""
NAMED = 5
"""Words that a hint names. A long prompt may have hundreds."""
LONGEST = 30
"""Characters of a word that a hint shows."""


def unknown(text: str, knows: Sequence[str]) -> tuple[str, ...]:
    """The words of `text` that none of the words and phrases in `knows` has, in lower case, each once, in order;
    without those that only join others."""
    if not knows:
        return ()
    known = JOINING | {word for phrase in knows for word in _WORD.findall(phrase.lower())}
    return tuple(dict.fromkeys(word for word in _WORD.findall(text.lower()) if word not in known))


def hint(words: Sequence[str], knows: Sequence[str], things: int) -> str:
    """A line of HTML for `words` that are new to the checkpoint: what it knows instead. "" where there are none."""
    if not words:
        return ""
    more = len(words) - NAMED
    named = ", ".join(_named(word, knows) for word in words[:NAMED])
    named += f" <span>and {more} more</span>" if more > 0 else ""
    such = ", ".join(escape(each) for each in _few(knows[:things] or knows))
    known = {0: "such words as", 1: "1 thing, such as"}.get(things, f"{things} things, such as")
    return f"<span class='new'>It has never seen {named}. <span>It knows {known} {such}.</span></span>"


def _named(word: str, knows: Sequence[str]) -> str:
    near = get_close_matches(word[:LONGEST], knows, n=1, cutoff=0.72)
    shown = word if len(word) <= LONGEST else word[:LONGEST] + "…"
    return f"<q>{escape(shown)}</q>" + (f" <span>(try</span> <q>{escape(near[0])}</q>)" if near else "")


def _few(known: Sequence[str]) -> Sequence[str]:
    """Six of them, from the whole length of the list."""
    return known[:: max(1, len(known) // 6)][:6]
