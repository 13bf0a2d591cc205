"""Share links: a request as the query of the page's address, such as `?prompt=a%20cat&seed=7`, and back.

A link holds the seed and the values that differ from the checkpoint's defaults; the server stores nothing. Links are
untrusted: values are validated as any input is, valid ones are used, the others reported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from wuerst_demo.fields import Number, Switch, parse_value
from wuerst_demo.images.parsed_settings import ParsedSettings
from wuerst_demo.messages import message
from wuerst_demo.request import Limits, Request

MAX_LINK_NOTES = 6
"""Most notes about one link."""
SOURCE_PARAMETER = "goes_on"
"""Query parameter of a request that goes on from a picture: its composition is too long for a link."""
SOURCE_NOTE = (
    "The link's picture goes on from another one, whose composition a link cannot hold; drop the picture's file here"
    " for the same picture."
)
GRADIO_PARAMETERS = ("view", "deep_link")
"""Query parameters of Gradio itself, besides those that begin with two underscores (`__theme=dark`)."""

_TRACKING_PATTERN = re.compile(
    r"utm_\w+|m[ct]m_\w+|pk_\w+|hsa_\w+|_hs\w+|_ga|_gl|mc_[ce]id|fbclid|gclid|yclid|ttclid|twclid|dclid|msclkid|wbraid|gbraid"
    r"|gclsrc|gad_\w+|li_fat_id|igshid|igsh|fb_\w+|rdt_cid|epik|s_cid|srsltid|vero_id|_openstat|mkt_tok|ref|ref_src|ref_url"
    r"|referrer|source|si|spm|trk|trkid",
    re.IGNORECASE | re.ASCII,
)
"""Parameters that other sites add to links to count their visitors."""


def encode_link(request: Request, limits: Limits) -> str:
    """The query of a link that restores `request`, with its "?": at most about 50,000 characters."""
    query: dict[str, str] = {}
    for name, description in limits.descriptions.items():
        value = getattr(request, name)
        if value == description.default:
            continue
        match description:
            case Switch():
                query[name] = "on" if value else "off"
            case Number(whole=False):
                query[name] = repr(float(value))  # the shortest digits that parse to the same number
            case _:
                query[name] = str(value)
    if request.variation or request.morph:
        query[SOURCE_PARAMETER] = "on"
    return "?" + urlencode(query, quote_via=quote)


def decode_link(query: Mapping[str, str], limits: Limits) -> tuple[dict[str, object], tuple[str, ...]]:
    """The valid values of a link's query by field name, and one note for each that is not valid or that it lacks.

    `query` is decoded and untrusted. Never raises for what it contains.
    """
    given: dict[str, object] = {}
    for name, text in query.items():
        if name.startswith("__") or name in GRADIO_PARAMETERS or _TRACKING_PATTERN.fullmatch(name):
            continue
        if name == SOURCE_PARAMETER:
            continue
        description = limits.descriptions.get(name)
        given[name] = text if description is None else parse_value(description, text)
    values, notes = ParsedSettings(given).fit(limits)
    if len(notes) > MAX_LINK_NOTES:
        more = len(notes) - MAX_LINK_NOTES + 1
        notes = (*notes[: MAX_LINK_NOTES - 1], message("{count:,} more values of the link cannot be used.", count=more))
    return values, ((SOURCE_NOTE, *notes) if SOURCE_PARAMETER in query else notes)
