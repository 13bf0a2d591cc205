"""Texts in XMP, the XML that image files carry (ISO 16684-1), without a parser of untrusted XML."""

from __future__ import annotations

import html
import re

XMP_COMMENT = "exif:UserComment"
XMP_DESCRIPTION = "dc:description"
XMP_RECORD = "wuerst:Record"
"""Our own record, where a file has no PNG texts."""
_TAG = re.compile(r"<[^<>]*>")


def xmp_text(xmp: str, name: str) -> str:
    """The text of a property, given as an element or an attribute; "" for none."""
    _, found, rest = xmp.partition(f"<{name}")
    inside, closed, _ = rest.partition(f"</{name}>")
    if found and closed:
        return html.unescape(_TAG.sub("", inside.partition(">")[2])).strip()
    _, found, rest = xmp.partition(f' {name}="')
    inside, closed, _ = rest.partition('"')
    return html.unescape(inside).strip() if found and closed else ""
