"""The request for a set of images, and its validation.

`Request` is frozen, validated and complete. Each field carries its own description: label, help and bounds. `Limits`
are these descriptions for one checkpoint: narrower bounds and its own defaults. Sliders, the command line, the web API,
PNG text and the tables of the documentation all read these descriptions; none repeats them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.fields import (
    RANDOM_SEED,
    SEED_COUNT,
    Choice,
    Description,
    Number,
    Switch,
    Text,
    default_value,
    is_random,
    validate_value,
)
from wuerst_demo.messages import message
from wuerst_demo.variation import Variation, decode_image_embeddings

PriorSchedule = Literal["two-part", "linear"]
Sampler = Literal["ddpm", "ddim"]
INTERVAL_FIELDS = ("guidance_from", "guidance_to")
"""Begin and end of the interval in which guidance applies; the one must be less than the other."""
SOURCE_FIELDS = ("variation", "morph")
"""Fields without a description: what a request goes on from."""
MIN_FRAMES, MAX_FRAMES, DEFAULT_FRAMES = 3, 16, 8
MAX_MORPH_LEVEL = 0.6
"""Less leaves mixtures of two things that are neither; more, a harder change in the middle: `wuerst train morphs`."""


def _field(description: Description) -> Any:
    """Dataclass field with its description."""
    return field(metadata={"description": description})


@dataclass(frozen=True, kw_only=True)
class Request:
    """A complete request: generating it twice gives the same images.

    Build with `Limits.request`, which validates every value; the constructor validates nothing. Sizes are in pixels.
    Image k is generated with seed `seed + k` modulo SEED_COUNT.
    """

    prompt: str = _field(Text("Prompt", "What the picture should show."))
    negative_prompt: str = _field(
        Text("Negative prompt", "What the picture should not show. Used only where guidance is above 1.")
    )
    weighting: bool = _field(
        Switch(
            "Prompt weighting", "Parse (cat)1.5, cat++ and cat-- as weights. Off: take every character literally.", True
        )
    )
    width: int = _field(Number("Width", "In pixels, in steps of 128.", 1024, 128, 2048, 128))
    height: int = _field(Number("Height", "In pixels, in steps of 128.", 1024, 128, 2048, 128))
    images: int = _field(Number("Pictures", "Number of pictures; their seeds are seed, seed + 1, ...", 1, 1, 8))
    seed: int = _field(
        Number("Seed", "The same seed and settings give the same picture; -1 is random.", None, 0, SEED_COUNT - 1)
    )
    prior_steps: int = _field(
        Number("Prior steps", "Evaluations of the prior, which composes the picture. More: finer, slower.", 29, 1, 100)
    )
    prior_schedule: PriorSchedule = _field(
        Choice(
            "Prior schedule",
            "Two-part spends two thirds of the steps on the first third, where the picture is composed.",
            "two-part",
            ("two-part", "linear"),
        )
    )
    prior_guidance: float = _field(
        Number(
            "Prior guidance",
            "How closely the prior follows the prompt. 1 or less: no guidance, half the work.",
            4.0,
            0,
            20,
            0.1,
            whole=False,
        )
    )
    decoder_steps: int = _field(
        Number("Decoder steps", "Evaluations of the decoder, which adds the detail.", 12, 1, 100)
    )
    decoder_guidance: float = _field(
        Number(
            "Decoder guidance",
            "How closely the decoder follows the prompt. 1 or less: no guidance, half the work.",
            0.0,
            0,
            20,
            0.1,
            whole=False,
        )
    )

    sampler: Sampler = _field(
        Choice(
            "Sampler",
            "How a step follows from a prediction. DDPM, as published, adds fresh noise; DDIM adds none and needs fewer"
            " steps.",
            "ddpm",
            ("ddpm", "ddim"),
        )
    )
    guidance_from: float = _field(
        Number(
            "Guidance from",
            "Where guidance begins in both networks, on the way from noise (0) to picture (1). Steps before it are"
            " unguided and take half the work.",
            0.0,
            0,
            1,
            0.05,
            whole=False,
        )
    )
    guidance_to: float = _field(
        Number(
            "Guidance to",
            "Where guidance ends, on the same way. Steps from there on are unguided and take half the work.",
            1.0,
            0,
            1,
            0.05,
            whole=False,
        )
    )
    variation: Variation | None = None
    """What it goes on from; None for a request that starts from noise."""
    morph: Morph | None = None
    """The two pictures that its images lead from and to; None for any other request."""

    def image(self, k: int) -> Request:
        """The request for image k (from 0) alone. The ends of a morph are requests without one."""
        if self.morph is not None and self.morph.frame is None:
            return self.morph.frame_request(k)
        return dataclasses.replace(self, seed=(self.seed + k) % SEED_COUNT, images=1)

    def to_dict(self) -> dict[str, Any]:
        """Values by field name, as JSON holds them, that `Limits.request` turns into this request again."""
        found = dataclasses.asdict(self, dict_factory=_without_empty_mask)
        values = {name: value for name, value in found.items() if value is not None}
        # A morph says itself how many images it has, which may be more than other requests may have.
        return values if self.morph is None else {**values, "images": 1}


def _without_empty_mask(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """As earlier versions read it."""
    return {name: value for name, value in pairs if name != "mask" or value is not None}


@dataclass(frozen=True)
class MorphEnd:
    """One of the two pictures of a morph."""

    request: Request
    """Generates this picture alone, from noise or as a variation."""
    image_embeddings: str
    """The prior's result, see `variation.encode_image_embeddings`."""


@dataclass(frozen=True)
class Morph:
    """The way from one picture to another. Its ends are the pictures themselves; the frames in between go on from an
    interpolation of composition, text and noise. Build with `Limits.request`; the constructor validates nothing."""

    first: MorphEnd
    last: MorphEnd
    frames: int = DEFAULT_FRAMES
    """Images in all, the two ends included."""
    frame: int | None = None
    """The one frame between the ends that is requested, from 1 to `frames` - 2; None: all of them."""

    @property
    def share(self) -> float:
        """How far `frame` is on the way, from 0 to 1."""
        return (self.frame or 0) / (self.frames - 1)

    @property
    def level(self) -> float:
        """Noise time to which the composition of `frame` is renoised, as in a variation: most in the middle, where
        the prior has to make a picture of what lies between two."""
        return MAX_MORPH_LEVEL * (1 if self.frame is None else math.sin(math.pi * self.share))

    def frame_request(self, k: int) -> Request:
        """The request for frame k (from 0) alone. Between the ends it has the settings of the nearer one."""
        nearer = self.first if 2 * k < self.frames else self.last
        if k in (0, self.frames - 1):
            return nearer.request
        return dataclasses.replace(nearer.request, variation=None, morph=dataclasses.replace(self, frame=k))


DESCRIPTIONS: Mapping[str, Description] = MappingProxyType(
    {f.name: f.metadata["description"] for f in dataclasses.fields(Request) if "description" in f.metadata}
)
"""Field name of `Request` -> its description, in the order of the fields; for all but SOURCE_FIELDS."""


@dataclass(frozen=True)
class Limits:
    """Allowed values and defaults of every field of `Request` for one checkpoint."""

    descriptions: Mapping[str, Description] = field(default_factory=lambda: DESCRIPTIONS)

    def narrow(self, **changes: Mapping[str, Any]) -> Limits:
        """These limits with some descriptions changed: `narrow(width={"least": 256, "default": 512})`.

        Bounds never exceed those on `Request`; a default outside them moves to the nearest bound.
        """
        narrowed = dict(self.descriptions)
        for name, change in changes.items():
            wanted = dataclasses.replace(narrowed[name], **change)
            outer = DESCRIPTIONS[name]
            if isinstance(wanted, Number) and isinstance(outer, Number):
                least, most = max(wanted.least, outer.least), min(wanted.most, outer.most)
                default = wanted.default if wanted.default is None else min(max(wanted.default, least), most)
                wanted = dataclasses.replace(wanted, least=least, most=most, default=default)
            narrowed[name] = wanted
        return Limits(MappingProxyType(narrowed))

    def number(self, name: str) -> Number:
        """The description of a numeric field. Raises TypeError for any other."""
        description = self.descriptions[name]
        if not isinstance(description, Number):
            raise TypeError(f"{name} is not a number")
        return description

    def request(self, values: Mapping[str, object]) -> Request:
        """A complete request from untrusted values by field name; a missing value or None is replaced by the default.

        Raises InvalidRequest, naming the field and the remedy, for an unknown field, a value of the wrong type, NaN, a
        number out of bounds or off its grid, text that is too long or contains control characters, and an interval of
        guidance that ends before it begins. A morph has the settings of its pictures, whatever the others are.
        """
        read = self.validate_fields(values)
        morph: Morph | None = read["morph"]
        if morph is not None:
            if morph.frame is not None:
                return morph.frame_request(morph.frame)
            return dataclasses.replace(morph.first.request, images=morph.frames, variation=None, morph=morph)
        request = Request(**read)
        if request.guidance_from >= request.guidance_to:
            labels = (message(self.descriptions[name].label) for name in INTERVAL_FIELDS)
            raise InvalidRequest(
                "{begin_label} is {begin:g} and {end_label} is {end:g}; lower the first or raise the second, so that"
                " guidance begins before it ends.",
                INTERVAL_FIELDS[0],
                **dict(zip(("begin_label", "end_label"), labels, strict=True)),
                begin=request.guidance_from,
                end=request.guidance_to,
            )
        return request

    def validate_fields(self, values: Mapping[str, object]) -> dict[str, Any]:
        """A valid value for every field, each by itself. Raises InvalidRequest as `request` does."""
        unknown = [str(name) for name in values if name not in self.descriptions and name not in SOURCE_FIELDS]
        if unknown:
            known = ", ".join(self.descriptions)
            shown = " ".join(unknown[0].split())[:40]
            raise InvalidRequest(
                "There is no setting '{name}'. The settings are: {names}.", unknown[0], name=shown, names=known
            )
        read: dict[str, Any] = {}
        for name, description in self.descriptions.items():
            given = values.get(name)
            missing = given is None or is_random(description, given)
            read[name] = default_value(description) if missing else validate_value(name, description, given)
        variation, morph = (values.get(name) for name in SOURCE_FIELDS)
        read["variation"] = None if variation is None else Variation.validate(variation)
        read["morph"] = None if morph is None else self._validate_morph(morph)
        return read

    def _validate_morph(self, value: object) -> Morph:
        given = dataclasses.asdict(value) if isinstance(value, Morph) else value
        if not isinstance(given, Mapping) or not {"first", "last"} <= given.keys() <= _MORPH_FIELDS:
            raise _malformed_morph()
        first, last = (self._validate_end(given[name]) for name in ("first", "last"))
        frames, frame = given.get("frames", DEFAULT_FRAMES), given.get("frame")
        if isinstance(frames, bool) or not isinstance(frames, int) or not MIN_FRAMES <= frames <= MAX_FRAMES:
            raise InvalidRequest(
                "A morph has {least} to {most} frames; choose a whole number of them.",
                "morph",
                least=MIN_FRAMES,
                most=MAX_FRAMES,
            )
        if frame is not None and (isinstance(frame, bool) or not isinstance(frame, int) or not 0 < frame < frames - 1):
            raise InvalidRequest("The morph's frame must be a whole number between its ends.", "morph")
        sizes = [(each.request.width, each.request.height) for each in (first, last)]
        if sizes[0] != sizes[1]:
            raise InvalidRequest(
                "The pictures have different sizes, {first} and {last}; generate the prompt of one at the size of the"
                " other, then morph those.",
                "morph",
                **{name: "{} x {}".format(*size) for name, size in zip(("first", "last"), sizes, strict=True)},
            )
        shapes = [decode_image_embeddings(each.image_embeddings, "morph").shape for each in (first, last)]
        if shapes[0] != shapes[1]:
            raise InvalidRequest(
                "The pictures come from different kinds of checkpoints; generate the prompt of one with the checkpoint"
                " of the other, then morph those.",
                "morph",
            )
        return Morph(first, last, frames, frame)

    def _validate_end(self, value: object) -> MorphEnd:
        if not isinstance(value, Mapping) or value.keys() != {"request", "image_embeddings"}:
            raise _malformed_morph()
        given = value["request"]
        if not isinstance(given, Mapping) or given.get("seed") in (None, RANDOM_SEED):
            raise _malformed_morph()
        if given.get("morph") is not None:
            raise InvalidRequest(
                "A frame of a morph carries two pictures already and cannot be the end of another one; vary it, then"
                " morph the variation.",
                "morph",
            )
        return MorphEnd(dataclasses.replace(self.request(given), images=1), value["image_embeddings"])


_MORPH_FIELDS = frozenset(each.name for each in dataclasses.fields(Morph))


def _malformed_morph() -> InvalidRequest:
    return InvalidRequest(
        "morph must be an object with first, last and, if wanted, frames; first and last are objects with request,"
        " which has a seed, and image_embeddings.",
        "morph",
    )


def morph(
    first: tuple[Mapping[str, object], str], last: tuple[Mapping[str, object], str], frames: object = DEFAULT_FRAMES
) -> dict[str, object]:
    """Values of a request that morphs one picture into another, from the values of each one's own request and its
    image embeddings. Untrusted values stay so."""
    ends = [{"request": {**values}, "image_embeddings": embeddings} for values, embeddings in (first, last)]
    return {**first[0], "variation": None, "morph": {"first": ends[0], "last": ends[1], "frames": frames}}
