"""A request as the tail of a link, and out of one again: `?prompt=a%20cat&seed=7`. The server keeps nothing for it.

A link says only what differs from the checkpoint's defaults, and the seed. What a link says is a stranger's word:
each value goes through the same validation as any input, what is valid is used and the rest is named.

Does not know Gradio or where the page is.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from wuerst_demo.found import Found
from wuerst_demo.request import Limits, Number, Request, Switch, from_text

NAMED = 6
"""Sentences about one link, at most. A link with a thousand mistakes is no reason for a page of a thousand lines."""
NOT_OURS = ("view", "deep_link")
"""Parameters that Gradio's own page understands, beside those that begin with two underscores (`__theme=dark`)."""


def link(request: Request, limits: Limits) -> str:
    """What stands behind the page's address in a link that brings `request` back: begins with "?".

    At most some 50,000 characters, for the longest prompts of four-byte characters.
    """
    said: dict[str, str] = {}
    for name, description in limits.descriptions.items():
        value = getattr(request, name)
        if value == description.default:
            continue
        match description:
            case Switch():
                said[name] = "on" if value else "off"
            case Number(whole=False):
                said[name] = repr(float(value))  # the shortest digits that read as the same number
            case _:
                said[name] = str(value)
    return "?" + urlencode(said, quote_via=quote)


def read(query: Mapping[str, str], limits: Limits) -> tuple[dict[str, object], tuple[str, ...]]:
    """The values of a link that `limits` admit, by field name, and one sentence for each that they do not.

    `query` is what stands behind the "?", decoded and untrusted. Never raises for what it holds.
    """
    asked: dict[str, object] = {}
    for name, text in query.items():
        if name.startswith("__") or name in NOT_OURS:
            continue
        description = limits.descriptions.get(name)
        asked[name] = text if description is None else from_text(description, text)
    values, said = Found(asked).fit(limits)
    if len(said) > NAMED:
        said = (*said[: NAMED - 1], f"The link says {len(said) - NAMED + 1:,} more things that cannot be used.")
    return values, said
