"""Styles: a few words with a name, to be added to a prompt, where they are seen before they are used.

They stand in assets/styles.toml. Does not know Gradio.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wuerst_demo.ui.vocabulary import unknown


@dataclass(frozen=True)
class Style:
    name: str
    words: str


def styles(file: Path, knows: Sequence[str] = ()) -> tuple[Style, ...]:
    """The styles of a file, in its order, as far as a checkpoint that knows only these words can follow them.

    A file that is not as `assets/styles.toml` is a fault of ours: KeyError, TypeError or tomllib.TOMLDecodeError.
    """
    listed = tomllib.loads(file.read_text(encoding="utf-8"))["style"]
    read = [Style(**each) for each in listed]
    return tuple(each for each in read if not unknown(each.words, knows))


def styled(prompt: str, words: str) -> str:
    """The prompt with a style's words behind it; as it was where it has them already. Pictures are asked for in
    phrases: what begins with a small word ("at night") follows without a comma."""
    kept = prompt.rstrip().rstrip(",")
    if words in kept:
        return prompt
    if not kept:
        return words
    return f"{kept} {words}" if words.split()[0] in ("at", "by", "in", "on") else f"{kept}, {words}"
