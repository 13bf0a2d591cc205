"""`python -m wuerst_demo train evaluate`: asks the judge about what a checkpoint draws, and prints a table.

Every prompt describes a scene that training never drew, with a seed of its own. The same scenes are drawn by code too:
what the judge says of those pictures stands beside, as the most that any checkpoint could be said to reach. Between the
two stands what the decoder makes of those pictures' own z: where that is better, the prior has the fault.
Does not train anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, pairwise
from random import Random
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from wuerst_demo.api import Wuerstchen
from wuerst_demo.errors import UserError
from wuerst_demo.training.captions import Say, caption
from wuerst_demo.training.drawing import draw
from wuerst_demo.training.held import smaller
from wuerst_demo.training.judge import Judge, Verdict, judged
from wuerst_demo.training.networks import SHRINK, seen_by_decoder
from wuerst_demo.training.recipe import Recipe
from wuerst_demo.training.scenes import Item, Kind, Scene, never_drawn, pair_held_back, sample

if TYPE_CHECKING:
    from wuerst_demo.request import Request

T = TypeVar("T")
SIDE = 256
SURE = 0.98
"""What the judge has to reach on pictures drawn by code, or its opinion of others means nothing."""
AT_ONCE = 16
"""Pictures in one forward pass."""
CHECKPOINT, DECODER, CODE = "drawn by the checkpoint", "by its decoder from the picture's z", "drawn by code"
"""Who drew what the judge is asked about: columns of the tables."""


@dataclass(frozen=True)
class Case:
    """A prompt, the scene that it describes, and the kind of prompts that it belongs to."""

    prompt: str
    scene: Scene
    kind: str


@dataclass(frozen=True)
class Measure:
    """A line of the table: of the cases of `kinds`, the share for which `holds`, which should be `least` or more."""

    name: str
    least: float
    kinds: tuple[str, ...]
    holds: Callable[[Scene, Verdict], bool]


def _all_there(scene: Scene, verdict: Verdict) -> bool:
    return all(item.thing.name in verdict.things for item in scene.items)


def _on_their_sides(scene: Scene, verdict: Verdict) -> bool:
    if not _all_there(scene, verdict):
        return False
    along = [verdict.things[item.thing.name][scene.column] for item in scene.items]
    return all(one < next_ for one, next_ in pairwise(along))


MEASURES = (
    Measure("the named thing is there, one-thing prompts", 0.95, ("one",), _all_there),
    Measure("both named things are there, two-thing prompts", 0.85, ("two",), _all_there),
    Measure("on the right side (left, right, above, below)", 0.85, ("two",), _on_their_sides),
    Measure("the right background", 0.95, ("one", "two"), lambda scene, verdict: verdict.place == scene.place),
    Measure("the right time or weather", 0.95, ("one", "two"), lambda scene, verdict: verdict.time == scene.time),
    Measure("the right style", 0.9, ("style",), lambda scene, verdict: verdict.style == scene.style),
    Measure("combinations never seen in training: things right", 0.8, ("new",), _all_there),
    Measure("synonyms and reworded captions: thing right", 0.9, ("reworded",), _all_there),
)
KINDS: dict[str, tuple[int, Kind | None]] = {
    "one": (150, "one"),
    "two": (120, "pair"),
    "style": (80, "one"),
    "new": (100, None),
    "reworded": (100, "one"),
}
"""Kind of prompts -> how many of 550, and of what scenes."""


LOOKS: dict[str, Callable[[Item], bool]] = {
    "small, in its own colours": lambda item: item.word == "small" and not item.colour,
    "of ordinary size, in its own colours": lambda item: not item.word and not item.colour,
    "big, in its own colours": lambda item: item.word == "big" and not item.colour,
    "in a colour of the list, whatever its size": lambda item: bool(item.colour),
}
"""What a thing alone may look like; one of them holds for each."""
SINGLE = ("one", "reworded")
"""Kinds of prompts that are about one thing, in no style."""


def cases(recipe: Recipe, count: int, seed: int = 21) -> list[Case]:
    """About `count` cases, always the same ones; none with two things where every pair is held back."""
    pairs = any(not pair_held_back(*pair) for pair in combinations(recipe.known, 2))
    whole = sum(share for share, _ in KINDS.values())
    return [
        case
        for kind, (share, scenes) in KINDS.items()
        if pairs or scenes != "pair"
        for case in islice(_cases(recipe, kind, scenes, seed), round(count * share / whole))
    ]


def _cases(recipe: Recipe, kind: str, scenes: Kind | None, seed: int) -> Iterator[Case]:
    rng = Random(f"{kind}-{seed}")
    say = Say(sides=kind == "two", second_names=kind == "reworded")
    while True:
        scene = sample(rng, recipe.known, kind == "new", scenes)
        fits = kind == "new" or bool(scene.style) == (kind == "style")
        if fits and never_drawn(scene) == (kind == "new") and scenes in (None, scene.kind):
            second = all(len(item.thing.names) > 1 for item in scene.items)
            if second or kind != "reworded":
                yield Case(caption(scene, rng, say=say), scene, kind)


def drawn(model: Wuerstchen, requests: Sequence[Request], z: Sequence[Tensor] = ()) -> list[np.ndarray]:
    """The pictures (H, W, 3) of requests of one image each, AT_ONCE in one forward pass. With `z`, (1, 16, h, w) for
    each, the decoder is given those in place of what the prior makes. Raises UserError as `Wuerstchen.generate` does.
    """
    pictures: list[np.ndarray] = []
    for at in range(0, len(requests), AT_ONCE):
        rows = [row for request in requests[at : at + AT_ONCE] for row in model.cascade.begin(request)]
        while rows[0].stage != "vqgan":
            rows = [_sound(row) for row in model.cascade.step(rows)]
            if z and (rows[0].stage, rows[0].step) == ("decoder", 0):
                given = zip(rows, z[at : at + AT_ONCE], strict=True)
                rows = [replace(row, embeddings=seen_by_decoder(each).to(row.latents)) for row, each in given]
        pictures += [np.asarray(_sound(picture)) for picture in model.cascade.finish(rows)]
    return pictures


def _sound(found: T | UserError) -> T:
    """What the cascade gave, unless that is the error that says why there is nothing."""
    if isinstance(found, UserError):
        raise found
    return found


def evaluate(
    model: Wuerstchen, judge: Judge, recipe: Recipe, count: int = 550, encoder: nn.Module | None = None
) -> str:
    """The table as Markdown, over about `count` prompts, and a second one of things alone, by what they look like.
    Without the checkpoint's image encoder it has no column for the decoder alone."""
    asked = cases(recipe, count)
    requests = [
        model.request(prompt=case.prompt, width=SIDE, height=SIDE, seed=k, weighting=False)
        for k, case in enumerate(asked)
    ]
    by_code = [np.asarray(draw(case.scene, SIDE, SIDE)) for case in asked]
    pictures = {CHECKPOINT: drawn(model, requests)}
    if encoder is not None:
        at_once = [replace(request, prior_steps=1) for request in requests]
        pictures[DECODER] = drawn(model, at_once, [_z(encoder, picture) for picture in by_code])
    verdicts = {column: judged(judge, recipe, found) for column, found in (pictures | {CODE: by_code}).items()}
    return f"{table(asked, verdicts)}\n\n{looks(asked, verdicts)}"


@torch.no_grad()
def _z(encoder: nn.Module, picture: np.ndarray) -> Tensor:
    """(1, 16, h, w) for a picture (H, W, 3); the encoder is on the CPU."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    z: Tensor = encoder(smaller(pixels, SHRINK))
    return z


def table(asked: Sequence[Case], verdicts: Mapping[str, Sequence[Verdict]]) -> str:
    """What the judge found, a line a measure and a column for each who drew; below, which lines to distrust by what it
    says of CODE."""
    unsure = []
    lines = _header("measure", "prompts", "at least", *verdicts)
    for measure in MEASURES:
        of = [k for k, case in enumerate(asked) if case.kind in measure.kinds]
        if not of:  # so few prompts that there is none of this kind
            continue
        shares = {column: _share(asked, found, of, measure.holds) for column, found in verdicts.items()}
        found = " | ".join(f"{share:.1%}" for share in shares.values())
        lines.append(f"| {measure.name} | {len(of)} | {measure.least:.0%} | {found} |")
        if shares[CODE] < SURE:
            unsure.append(measure.name)
    if unsure:
        lines += ["", f"The judge itself is right less than {SURE:.0%} of the time about: {'; '.join(unsure)}."]
    return "\n".join(lines)


def looks(asked: Sequence[Case], verdicts: Mapping[str, Sequence[Verdict]]) -> str:
    """Where things alone are missing: a line for each of LOOKS that was asked for."""
    lines = _header("a thing alone", "prompts", *verdicts)
    for name, looks_so in LOOKS.items():
        of = [k for k, case in enumerate(asked) if case.kind in SINGLE and looks_so(case.scene.items[0])]
        if of:
            shares = " | ".join(f"{_share(asked, found, of, _all_there):.1%}" for found in verdicts.values())
            lines.append(f"| {name} | {len(of)} | {shares} |")
    return "\n".join(lines)


def _header(first: str, *others: str) -> list[str]:
    return [f"| {' | '.join((first, *others))} |", f"|---|{'--:|' * len(others)}"]


def _share(
    asked: Sequence[Case], verdicts: Sequence[Verdict], of: Sequence[int], holds: Callable[[Scene, Verdict], bool]
) -> float:
    """Of the cases with these numbers, for how many it holds, 0..1."""
    return sum(holds(asked[k].scene, verdicts[k]) for k in of) / len(of)
