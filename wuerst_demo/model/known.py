"""The checkpoints this demo knows by name, and what any checkpoint can be asked: sizes, defaults, example prompts.

Does not know torch; reads configs and a small file, no weights. Any decoder folder or repository may carry a
`demo.json` that speaks for it, all of it optional, anything else in it refused:

    {"title": "Cocktail",
     "limits": {"width": {"least": 256, "most": 384, "default": 256}, "prior_steps": {"default": 20}},
     "examples": ["a red circle"],
     "things": 1, "knows": ["circle", "round", "red", "on a wall"]}

`limits` maps fields of `Request` to `least`, `most`, `step` and `default` (numbers), or `default` alone (switches and
choices); bounds can only be narrower than those on `Request`. `knows` lists the
lower-case words and phrases that a small checkpoint has learned, the names of its things first; `things` counts the
things. A prompt's words that stand in none of them are new to it.

Where there is no such file, a known checkpoint has its entry here, and an unknown one gets the sizes that its configs
can draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING, Any, Literal

from wuerst_demo.errors import CheckpointError, InvalidRequest
from wuerst_demo.model.configs import DECODER
from wuerst_demo.request import DESCRIPTIONS, Limits, Number, Switch, Text

if TYPE_CHECKING:
    from wuerst_demo.model.files import Located

COCKTAIL = "cocktail"
PUBLISHED = "warp-ai/wuerstchen"
DEFAULT_PRIOR = "warp-ai/wuerstchen-prior"


@dataclass(frozen=True)
class Known:
    """A checkpoint we know: what it is, and what it was trained for.

    A prior or VQGAN has the limits of the cascade it goes into. The published numbers are those of the authors' model
    card and demo: trained on 1024 to 1536 pixels a side, 29 two-part prior steps at guidance 4, 12 decoder steps.
    """

    name: str
    kind: Literal["cascade", "prior", "vqgan"]
    title: str
    prior: str = ""
    limits: Limits = field(default_factory=Limits)
    examples: tuple[str, ...] = ()


_PUBLISHED = Limits().narrow(
    width={"least": 1024, "most": 2048, "default": 1024},
    height={"least": 1024, "most": 2048, "default": 1024},
    prior_steps={"default": 29},
    prior_guidance={"default": 4.0},
    decoder_steps={"default": 12},
    decoder_guidance={"default": 0.0},
)
_EXAMPLES = (
    "Anthropomorphic cat dressed as a fire fighter",
    "A lighthouse on a cliff above a stormy sea, oil painting",
    "A wooden toy train on a kitchen table, morning light, photograph",
    "An astronaut riding a bicycle through a field of sunflowers",
)


def _published(name: str, kind: Literal["cascade", "prior", "vqgan"], title: str, prior: str = "") -> Known:
    return Known(name, kind, title, prior, _PUBLISHED, _EXAMPLES)


_TABLE = (
    Known(COCKTAIL, "cascade", "The small checkpoint that comes with this demo", "its own, beside it"),
    _published(PUBLISHED, "cascade", "Würstchen v2 as published: decoder and VQGAN", DEFAULT_PRIOR),
    _published(DEFAULT_PRIOR, "prior", "The default prior (interpolated), with its text encoder"),
    _published("warp-ai/wuerstchen-prior-model-base", "prior", "The prior after its base training"),
    _published("warp-ai/wuerstchen-prior-model-interpolated", "prior", "Half way from base to finetuned"),
    _published("warp-ai/wuerstchen-prior-model-finetuned", "prior", "The prior tuned on pictures people liked"),
    _published("madebyollin/stage-a-ft-hq", "vqgan", "A VQGAN tuned for finer detail"),
)
KNOWN: Mapping[str, Known] = {known.name: known for known in _TABLE}
"""Name -> entry, in the order to show them in. The cocktail's limits and examples stand in its own demo.json."""


@dataclass(frozen=True)
class Demo:
    """A demo.json, checked."""

    title: str = ""
    limits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    knows: tuple[str, ...] = ()
    things: int = 0


def title_of(located: Located) -> str:
    """What to call a checkpoint on a page. Raises CheckpointError for a broken demo.json."""
    known = known_as(located)
    title = read_demo(located.demo).title or (known.title if known else "")
    with_loras = f" with {' and '.join(map(str, located.loras))}" if located.loras else ""
    return title + with_loras if title else located.name


def examples_of(located: Located) -> tuple[str, ...]:
    """Prompts that this checkpoint draws well; none for an unknown one. Raises CheckpointError, as title_of."""
    known = known_as(located)
    return read_demo(located.demo).examples or (known.examples if known else ())


def knows_of(located: Located) -> tuple[tuple[str, ...], int]:
    """The words and phrases that this checkpoint has learned, and how many things it can draw; nothing and 0 where
    nobody has counted, as for all large ones. Raises CheckpointError, as title_of."""
    demo = read_demo(located.demo)
    return demo.knows, demo.things


def limits_of(located: Located) -> Limits:
    """What this checkpoint can be asked.

    Raises CheckpointError for a broken demo.json, and for networks that do not fit together at any size.
    """
    least, most, step = sizes(located)
    known = known_as(located)
    limits = known.limits if known else Limits()
    for side in ("width", "height"):
        number = limits.number(side)
        bounds = {"least": max(number.least, least), "most": min(number.most, most), "step": step}
        limits = limits.narrow(**{side: bounds})
    demo = read_demo(located.demo)
    for side in ("width", "height"):
        for size in demo.limits.get(side, {}).values():
            if not least <= size <= most or size % step:
                raise _broken(f"the {side} {size:g} cannot be drawn; its networks draw {least} to {most} by {step}")
    return limits.narrow(**demo.limits)


def known_as(located: Located) -> Known | None:
    """The cascade of the table that this checkpoint is; a copy in a folder is known by its decoder's options."""
    if located.decoder.source.name in KNOWN:
        return KNOWN[located.decoder.source.name]
    if located.decoder.config == DECODER.defaults:
        return KNOWN[PUBLISHED]
    return None


def sizes(located: Located) -> tuple[int, int, int]:
    """Least and most pixels of a side, and the step, that the networks can draw, between 128 and 2048.

    A side of S pixels is ceil(S / resolution_multiple) latents in the prior and int(that * latent_dim_scale) in the
    decoder, which has to divide those by its patches and halve them at every level but the first without a rest; the
    VQGAN has to make S pixels of them again. Raises CheckpointError if no size survives that.
    """
    decoder, vqgan = located.decoder.config, located.vqgan.config
    grid = decoder["patch_size"] * 2 ** (len(decoder["c_hidden"]) - 1)
    pixels = vqgan["up_down_scale_factor"] * 2 ** (vqgan["levels"] - 1)
    side = DESCRIPTIONS["width"]
    assert isinstance(side, Number)

    def drawn(size: int) -> bool:
        latents = int(math.ceil(size / located.resolution_multiple) * located.latent_dim_scale)
        return latents % grid == 0 and bool(latents * pixels == size)

    def run(step: int) -> list[int]:
        """The first sizes in a row, counted in this step, that can be drawn."""
        every = range(math.ceil(side.least / step) * step, int(side.most) + 1, step)
        return list(takewhile(drawn, dropwhile(lambda size: not drawn(size), every)))

    base = int(side.step)
    step = max(range(base, int(side.most) + 1, base), key=lambda step: len(run(step)))
    found = run(step)
    if not found:
        raise CheckpointError(
            f"The prior, decoder and VQGAN of {located.name} fit together at no size that is a multiple of {base}:"
            " give a --prior and --vqgan that belong to it."
        )
    return found[0], found[-1], step


def read_demo(demo: Mapping[str, Any]) -> Demo:
    """A demo.json as the module's docstring has it. Raises CheckpointError for anything else."""
    strange = set(demo) - {"title", "limits", "examples", "knows", "things"}
    if strange:
        raise _broken(f"it says {min(strange)[:40]!r}, which is none of title, limits, examples, knows, things")
    title, limits, examples = demo.get("title", ""), demo.get("limits", {}), demo.get("examples", [])
    if not isinstance(title, str) or len(title) > 100 or not title.isprintable():
        raise _broken("its title is no short text")
    if not isinstance(limits, dict):
        raise _broken("its limits are no object")
    for name, change in limits.items():
        _check_change(name, change)
    if not isinstance(examples, list) or len(examples) > 50:
        raise _broken("its examples are no list of at most 50")
    for example in examples:
        try:
            Limits().request({"prompt": example if example is not None else 0})
        except InvalidRequest as error:
            raise _broken("one of its examples is no prompt") from error
    knows, things = demo.get("knows", []), demo.get("things", 0)
    if not isinstance(knows, list) or len(knows) > 10_000 or not all(_is_phrase(phrase) for phrase in knows):
        raise _broken("what it knows is no list of lower-case words and phrases")
    if type(things) is not int or not 0 <= things <= len(knows):
        raise _broken("its number of things is none, or more than the words that it knows")
    return Demo(title, limits, tuple(examples), tuple(knows), things)


def _is_phrase(phrase: object) -> bool:
    """A short lower-case text, as an entry of `knows` has to be."""
    return (
        isinstance(phrase, str)
        and 0 < len(phrase) <= 60
        and phrase.isprintable()
        and phrase == phrase.lower() == phrase.strip()
    )


def _check_change(name: str, change: object) -> None:
    """One entry of `limits`."""
    outer = DESCRIPTIONS.get(name)
    if outer is None or name == "seed" or isinstance(outer, Text) or not isinstance(change, dict):
        raise _broken(f"its limits for {name[:40]!r} are none that can be set")
    if not isinstance(outer, Number):
        fits = (
            isinstance(change.get("default"), bool)
            if isinstance(outer, Switch)
            else change.get("default") in outer.choices
        )
        if set(change) != {"default"} or not fits:
            raise _broken(f"for '{name}' it can set the default alone, to a value that '{name}' can have")
        return
    kinds = (int,) if outer.whole else (int, float)
    if set(change) - {"least", "most", "step", "default"} or any(type(n) not in kinds for n in change.values()):
        raise _broken(f"for '{name}' it can set least, most, step and default, each {kinds[-1].__name__}")
    assert outer.default is not None  # only the seed has none
    values = {"least": outer.least, "most": outer.most, "step": outer.step, "default": outer.default} | change
    if not (outer.least <= values["least"] <= values["default"] <= values["most"] <= outer.most and values["step"] > 0):
        raise _broken(f"for '{name}' it must keep {outer.least:g} <= least <= default <= most <= {outer.most:g}")
    if outer.whole and any(value % values["step"] for key, value in change.items() if outer.step > 1):
        raise _broken(f"for '{name}' every number must be a multiple of its step")


def _broken(what: str) -> CheckpointError:
    return CheckpointError(f"The checkpoint's demo.json cannot be used: {what}. Mend it or remove it.")
