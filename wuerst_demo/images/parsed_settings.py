"""Generation settings parsed from a file or a link: untrusted values by the names of a request's fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from wuerst_demo.errors import InvalidRequest, MetadataError
from wuerst_demo.fields import parse_value
from wuerst_demo.request import DEFAULT_FRAMES, DESCRIPTIONS, INTERVAL_FIELDS, Limits, Sampler, morph
from wuerst_demo.variation import vary

MAX_NAME_CHARS = 40
"""Longest name from a file that is shown."""
_SIZE = re.compile(r"\(?\s{0,4}(\d{1,6})\s{0,4}[x×,*]\s{0,4}(\d{1,6})\s{0,4}\)?")


@dataclass(frozen=True)
class ParsedSettings:
    """Settings of one image, as far as a request has fields for them."""

    values: Mapping[str, object]
    """Field name of `Request` -> untrusted value, for `Limits.request` or `fit`."""
    checkpoint: str = ""
    revision: str = ""
    program: str = ""
    """The program that wrote them, with its version where known; where only that is known, the version."""
    image_embeddings: str = ""
    """The prior's result of the image, untrusted, for `Variation.validate`; "" where the file has none."""
    unsupported: tuple[str, ...] = ()
    """Names of settings that a request has no field for, such as a sampler that it cannot have."""
    unread: tuple[str, ...] = ()
    """Field names of `Request` whose values the file gives in a way that is not understood."""

    def vary(self, level: float) -> dict[str, object]:
        """Untrusted values for a variation of the image, see `variation.vary`. Raises MetadataError for an image whose
        file does not carry its composition."""
        if not self.image_embeddings:
            raise MetadataError(
                "The picture does not carry its composition, so it cannot be varied; use one of this demo's own files."
            )
        return vary(self.values, self.image_embeddings, level)

    def morph(self, last: ParsedSettings, frames: object = DEFAULT_FRAMES) -> dict[str, object]:
        """Untrusted values for a morph from this image to another one, see `request.morph`. Raises MetadataError for
        images whose files do not carry their composition, or were generated with different checkpoints."""
        if not self.image_embeddings or not last.image_embeddings:
            raise MetadataError(
                "A picture that does not carry its composition cannot be morphed; use two of this demo's own files."
            )
        if self.checkpoint and last.checkpoint and self.checkpoint != last.checkpoint:
            raise MetadataError(
                "The pictures come from different checkpoints, {first} and {last}; generate the prompt of one with the"
                " checkpoint of the other, then morph those.",
                first=shorten_name(self.checkpoint),
                last=shorten_name(last.checkpoint),
            )
        return morph((self.values, self.image_embeddings), (last.values, last.image_embeddings), frames)

    def fit(self, limits: Limits) -> tuple[dict[str, object], tuple[str, ...]]:
        """The values that `limits` allow, and the error message of each that they reject."""
        values: dict[str, object] = {}
        rejected: list[str] = []
        for name, value in self.values.items():
            try:
                valid = limits.validate_fields({name: value})
            except InvalidRequest as error:
                rejected.append(error.message)
            else:
                values[name] = None if name == "seed" and value != valid["seed"] else value  # -1 is random
        try:
            limits.request(values)
        except InvalidRequest as error:  # each end of the interval is valid, but not together with the other
            rejected.append(error.message)
            values = {name: value for name, value in values.items() if name not in INTERVAL_FIELDS}
        return values, tuple(rejected)


SAMPLER_NAMES: Mapping[str, Sampler] = MappingProxyType({"ddim": "ddim", "ddpm": "ddpm", "ddpm wuerstchen": "ddpm"})
"""Names of samplers in other programs, in lower case, that mean the same as one of ours."""


def parse_sampler(value: object) -> Sampler | None:
    """The sampler that another program's name means; None for samplers that a request cannot have."""
    return SAMPLER_NAMES.get(value.strip().lower()) if isinstance(value, str) else None


def shorten_name(text: str) -> str:
    """A name from a file, short and in one line."""
    text = " ".join(text.encode(errors="replace").decode().split())  # half a surrogate pair cannot be sent
    return text if len(text) <= MAX_NAME_CHARS else text[: MAX_NAME_CHARS - 1] + "…"


def parse_number(field: str, value: object) -> object:
    """A number of another program, for `field`; None for the seed -1, which means a random one."""
    number = parse_value(DESCRIPTIONS[field], value) if isinstance(value, str) else value
    return None if field == "seed" and number == -1 else number


def parse_size(text: str) -> dict[str, object]:
    """Width and height in `512x768` or `(512, 768)`; none in other text."""
    size = _SIZE.fullmatch(text.strip())
    return {"width": int(size[1]), "height": int(size[2])} if size else {}
