"""Sizes, limits, defaults and example prompts of a checkpoint.

A known checkpoint has its entry in the registry; any other gets the sizes that its networks support. A decoder folder
or repository may carry a `demo.json` that overrides both; every key is optional, and unknown keys are rejected:

    {"title": "Cocktail",
     "limits": {"width": {"least": 256, "most": 384, "default": 256}, "prior_steps": {"default": 20}},
     "examples": ["a red circle"],
     "live": {"prior_steps": 2, "prior_guidance": 0, "decoder_steps": 2, "decoder_guidance": 0},
     "things": 1, "knows": ["circle", "round", "red", "on a wall"]}

`limits` maps fields of `Request` to `least`, `most`, `step` and `default` (numbers) or to `default` alone (switches and
choices); they can only narrow the limits of `Request`. `live` has the settings that replace the page's in pictures that
are drawn while the user types. `knows` lists the words and phrases that a small checkpoint was trained on, in lower
case, object names first; `things` is the number of objects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile, takewhile
from typing import Any

from wuerst_demo.checkpoints.network_config import DECODER, LatentScaling, NetworkConfig
from wuerst_demo.checkpoints.registry import KNOWN_CHECKPOINTS, LIVE_SETTINGS, PUBLISHED_NAME, KnownCheckpoint
from wuerst_demo.errors import CheckpointError, InvalidRequest
from wuerst_demo.fields import Description, Number, Switch, Text
from wuerst_demo.request import DESCRIPTIONS, Limits

LIVE_FIELDS = frozenset(LIVE_SETTINGS) | {"prior_guidance"}
"""Fields that can differ between a live picture and a finished one."""
_MAX_TITLE_CHARS = 100
_MAX_EXAMPLES = 50
_MAX_WORDS = 10_000
_MAX_PHRASE_CHARS = 60


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint is called and what it can be asked."""

    title: str
    """Title shown to users, with the LoRAs in use."""
    limits: Limits
    """Allowed values and defaults of every field of `Request`."""
    examples: tuple[str, ...] = ()
    """Prompts that suit the checkpoint; empty for an unknown one."""
    vocabulary: tuple[str, ...] = ()
    """Words and phrases it was trained on, in lower case, object names first; empty where not listed."""
    object_count: int = 0
    """How many entries of the vocabulary name objects."""
    live: Mapping[str, object] = field(default_factory=lambda: LIVE_SETTINGS)
    """Settings of a picture that is drawn while the user types, by field name; within the limits."""


def describe_checkpoint(
    name: str,
    decoder_name: str,
    decoder: NetworkConfig,
    vqgan: NetworkConfig,
    scaling: LatentScaling,
    demo: Mapping[str, Any],
    loras: Sequence[object] = (),
) -> CheckpointInfo:
    """Title, limits and examples from the configs, the registry and demo.json.

    `name` is the name of the whole cascade, `decoder_name` that of the decoder's repository or folder, `demo` the
    content of demo.json. Raises CheckpointError for an invalid demo.json and networks that fit together at no size.
    """
    least, most, step = supported_sizes(name, decoder, vqgan, scaling)
    known = find_known(decoder_name, decoder)
    check_demo_json(demo)
    limits = known.limits if known else Limits()
    for side in ("width", "height"):
        number = limits.number(side)
        bounds = {"least": max(number.least, least), "most": min(number.most, most), "step": step}
        limits = limits.narrow(**{side: bounds})
        for size in demo.get("limits", {}).get(side, {}).values():
            if not least <= size <= most or size % step:
                raise _demo_json_error(
                    f"the {side} {size:g} is not supported; its networks support {least} to {most} by {step}"
                )
    limits = limits.narrow(**demo.get("limits", {}))
    title = demo.get("title") or (known.title if known else "")
    if title and loras:
        title += f" with {' and '.join(map(str, loras))}"
    return CheckpointInfo(
        title or name,
        limits,
        tuple(demo.get("examples", ())) or (known.examples if known else ()),
        tuple(demo.get("knows", ())),
        demo.get("things", 0),
        _live_settings(demo.get("live"), limits),
    )


def _live_settings(given: Mapping[str, object] | None, limits: Limits) -> Mapping[str, object]:
    """The settings that demo.json gives, or the usual ones as far as `limits` have them. Raises CheckpointError."""
    if given is None:
        return {name: _nearest(value, limits.descriptions[name]) for name, value in LIVE_SETTINGS.items()}
    try:
        limits.request(given)
    except InvalidRequest as error:
        raise _demo_json_error("its live settings are not within its limits") from error
    return dict(given)


def _nearest(value: object, description: Description) -> object:
    """A number within the bounds of its field; any other value as it is."""
    if isinstance(description, Number) and isinstance(value, int | float):
        return min(max(value, description.least), description.most)
    return value


def find_known(decoder_name: str, decoder: NetworkConfig) -> KnownCheckpoint | None:
    """The registry entry by name, or for a copy of the published checkpoint by the decoder's config; else None."""
    if decoder_name in KNOWN_CHECKPOINTS:
        return KNOWN_CHECKPOINTS[decoder_name]
    return KNOWN_CHECKPOINTS[PUBLISHED_NAME] if decoder == DECODER.defaults else None


def supported_sizes(
    name: str, decoder: NetworkConfig, vqgan: NetworkConfig, scaling: LatentScaling
) -> tuple[int, int, int]:
    """Least and most pixels of a side, and the step between sizes, that the networks support, within 128 to 2048.

    A side of S pixels is ceil(S / resolution_multiple) latents in the prior and int(that * latent_dim_scale) in the
    decoder, which divides those into patches and halves them at every level but the first without a remainder; the
    VQGAN decodes them to S pixels again. Raises CheckpointError if no size is supported.
    """
    grid = decoder["patch_size"] * 2 ** (len(decoder["c_hidden"]) - 1)
    pixels_per_latent = vqgan["up_down_scale_factor"] * 2 ** (vqgan["levels"] - 1)
    side = DESCRIPTIONS["width"]
    assert isinstance(side, Number)

    def is_supported(size: int) -> bool:
        latents = int(math.ceil(size / scaling.resolution_multiple) * scaling.latent_dim_scale)
        return latents % grid == 0 and bool(latents * pixels_per_latent == size)

    def first_run(step: int) -> list[int]:
        """The first uninterrupted run of supported sizes among the multiples of `step`."""
        sizes = range(math.ceil(side.least / step) * step, int(side.most) + 1, step)
        return list(takewhile(is_supported, dropwhile(lambda size: not is_supported(size), sizes)))

    base = int(side.step)
    step = max(range(base, int(side.most) + 1, base), key=lambda step: len(first_run(step)))
    sizes = first_run(step)
    if not sizes:
        raise CheckpointError(
            f"The prior, decoder and VQGAN of {name} fit together at no size that is a multiple of {base}:"
            " give a --prior and --vqgan that belong to it."
        )
    return sizes[0], sizes[-1], step


def check_demo_json(demo: Mapping[str, Any]) -> None:
    """Raise CheckpointError for a demo.json other than the module's docstring describes."""
    unknown = set(demo) - {"title", "limits", "examples", "live", "knows", "things"}
    if unknown:
        raise _demo_json_error(
            f"it has the key {min(unknown)[:40]!r}, which is none of title, limits, examples, live, knows, things"
        )
    title, limits, examples = demo.get("title", ""), demo.get("limits", {}), demo.get("examples", [])
    if not isinstance(title, str) or len(title) > _MAX_TITLE_CHARS or not title.isprintable():
        raise _demo_json_error(f"its title is not a text of at most {_MAX_TITLE_CHARS} characters")
    if not isinstance(limits, dict):
        raise _demo_json_error("its limits are not an object")
    for name, change in limits.items():
        _check_limits_entry(name, change)
    try:
        Limits().narrow(**limits).request({})
    except InvalidRequest as error:
        raise _demo_json_error("by default, its guidance ends before it begins") from error
    if not isinstance(examples, list) or len(examples) > _MAX_EXAMPLES:
        raise _demo_json_error(f"its examples are not a list of at most {_MAX_EXAMPLES}")
    for example in examples:
        try:
            Limits().request({"prompt": example if example is not None else 0})
        except InvalidRequest as error:
            raise _demo_json_error("one of its examples is not a valid prompt") from error
    live = demo.get("live", {})
    if not isinstance(live, dict) or not set(live) <= LIVE_FIELDS:
        raise _demo_json_error(f"'live' is not an object with some of {', '.join(sorted(LIVE_FIELDS))}")
    words, things = demo.get("knows", []), demo.get("things", 0)
    if not isinstance(words, list) or len(words) > _MAX_WORDS or not all(_is_phrase(word) for word in words):
        raise _demo_json_error("'knows' is not a list of lower-case words and phrases")
    if type(things) is not int or not 0 <= things <= len(words):
        raise _demo_json_error("'things' is not a number of entries of 'knows'")


def _is_phrase(phrase: object) -> bool:
    """Whether an entry of `knows` is a short, trimmed, lower-case text."""
    if not isinstance(phrase, str) or not 0 < len(phrase) <= _MAX_PHRASE_CHARS:
        return False
    return phrase.isprintable() and phrase == phrase.lower() == phrase.strip()


def _check_limits_entry(name: str, change: object) -> None:
    """Validate one entry of `limits`. Raises CheckpointError."""
    outer = DESCRIPTIONS.get(name)
    if outer is None or name == "seed" or isinstance(outer, Text) or not isinstance(change, dict):
        raise _demo_json_error(f"limits for {name[:40]!r} cannot be set")
    if not isinstance(outer, Number):
        fits = (
            isinstance(change.get("default"), bool)
            if isinstance(outer, Switch)
            else change.get("default") in outer.choices
        )
        if set(change) != {"default"} or not fits:
            raise _demo_json_error(f"for '{name}' only the default can be set, to a value that '{name}' can have")
        return
    kinds = (int,) if outer.whole else (int, float)
    if set(change) - {"least", "most", "step", "default"} or any(type(n) not in kinds for n in change.values()):
        raise _demo_json_error(f"for '{name}' least, most, step and default can be set, each {kinds[-1].__name__}")
    assert outer.default is not None  # only the seed has none
    values = {"least": outer.least, "most": outer.most, "step": outer.step, "default": outer.default} | change
    if not (outer.least <= values["least"] <= values["default"] <= values["most"] <= outer.most and values["step"] > 0):
        raise _demo_json_error(
            f"for '{name}' it must keep {outer.least:g} <= least <= default <= most <= {outer.most:g}"
        )
    if outer.whole and any(value % values["step"] for key, value in change.items() if outer.step > 1):
        raise _demo_json_error(f"for '{name}' every number must be a multiple of its step")


def _demo_json_error(reason: str) -> CheckpointError:
    return CheckpointError(f"The checkpoint's demo.json cannot be used: {reason}. Fix it or remove it.")
