"""Table of the checkpoints known by name, with their limits and example prompts."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from wuerst_demo.request import Limits

COCKTAIL_NAME = "cocktail"
PUBLISHED_NAME = "warp-ai/wuerstchen"
DEFAULT_PRIOR = "warp-ai/wuerstchen-prior"
LIVE_SETTINGS: Mapping[str, object] = MappingProxyType(
    {"sampler": "ddim", "prior_steps": 8, "prior_schedule": "linear", "decoder_steps": 4, "decoder_guidance": 0.0}
)
"""Settings of live pictures of checkpoints that do not say which: a third of the published evaluations."""
_SIMILARITY = 0.75
"""Least `difflib` ratio, 0 to 1, at which a known name is suggested for a misspelled one."""

Role = Literal["cascade", "prior", "vqgan"]


@dataclass(frozen=True)
class KnownCheckpoint:
    """One entry of the table. A prior or VQGAN has the limits of the cascade that it is used in."""

    name: str
    """Hub name, or "cocktail"."""
    kind: Role
    title: str
    prior: str = ""
    """Of a cascade: the prior that belongs to it."""
    limits: Limits = field(default_factory=Limits)
    examples: tuple[str, ...] = ()


# From the authors' model card and demo: trained at 1024 to 1536 pixels a side; 29 steps of the two-part schedule.
_PUBLISHED_LIMITS = Limits().narrow(
    width={"least": 1024, "most": 2048, "default": 1024},
    height={"least": 1024, "most": 2048, "default": 1024},
    prior_steps={"default": 29},
    prior_guidance={"default": 4.0},
    decoder_steps={"default": 12},
    decoder_guidance={"default": 0.0},
)
_PUBLISHED_EXAMPLES = (
    "Anthropomorphic cat dressed as a fire fighter",
    "A lighthouse on a cliff above a stormy sea, oil painting",
    "A wooden toy train on a kitchen table, morning light, photograph",
    "An astronaut riding a bicycle through a field of sunflowers",
)


_PUBLISHED: tuple[tuple[str, Role, str], ...] = (
    (DEFAULT_PRIOR, "prior", "The default prior (interpolated), with its text encoder"),
    ("warp-ai/wuerstchen-prior-model-base", "prior", "The prior after its base training"),
    ("warp-ai/wuerstchen-prior-model-interpolated", "prior", "Half way from base to finetuned"),
    ("warp-ai/wuerstchen-prior-model-finetuned", "prior", "The prior fine-tuned on pictures with high ratings"),
    ("madebyollin/stage-a-ft-hq", "vqgan", "A VQGAN fine-tuned for finer detail"),
)
_TITLE = "Würstchen v2 as published: decoder and VQGAN"
_ENTRIES = (
    KnownCheckpoint(COCKTAIL_NAME, "cascade", "The small checkpoint that comes with this demo", "its own, beside it"),
    KnownCheckpoint(PUBLISHED_NAME, "cascade", _TITLE, DEFAULT_PRIOR, _PUBLISHED_LIMITS, _PUBLISHED_EXAMPLES),
    *(KnownCheckpoint(*entry, "", _PUBLISHED_LIMITS, _PUBLISHED_EXAMPLES) for entry in _PUBLISHED),
)
KNOWN_CHECKPOINTS: Mapping[str, KnownCheckpoint] = {entry.name: entry for entry in _ENTRIES}
"""Name -> entry, in display order. Limits and examples of the cocktail are in its demo.json."""


def suggest_known_name(text: str) -> str:
    """The hint " (did you mean ...?)" for a name that is close to a known one, else ""."""
    names = {name.lower(): name for name in KNOWN_CHECKPOINTS}
    stems = {name.lower().rsplit("/", 1)[-1]: name for name in KNOWN_CHECKPOINTS}
    wanted = text.lower().partition("@")[0].rstrip("/")
    matches = difflib.get_close_matches(wanted, names, 2, _SIMILARITY)
    matches = matches or difflib.get_close_matches(wanted.rsplit("/", 1)[-1], stems, 2, _SIMILARITY)
    suggested = dict.fromkeys(names.get(match) or stems[match] for match in matches)
    return f" (did you mean {' or '.join(suggested)}?)" if suggested and wanted not in names else ""
