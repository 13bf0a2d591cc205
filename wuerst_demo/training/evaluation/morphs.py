"""How often the frames of morphs still show a thing of one of their two pictures, for the scene classifier."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from wuerst_demo.api import Wuerstchen
from wuerst_demo.errors import UserError
from wuerst_demo.events import Result
from wuerst_demo.request import DEFAULT_FRAMES, Request
from wuerst_demo.training.config import TrainingConfig
from wuerst_demo.training.data.scenes import Scene
from wuerst_demo.training.evaluation.classifier import ClassifierOutput, SceneClassifier
from wuerst_demo.training.evaluation.evaluate import (
    evaluation_prompts,
    has_all_things,
    make_requests,
    markdown_table,
)

MAX_LOSS = 0.1
"""How much less often a frame may show something than the worse end does."""


def morphs_table(model: Wuerstchen, classifier: SceneClassifier, config: TrainingConfig, pairs: int = 30) -> str:
    """A Markdown table over morphs between pictures of one thing each: for each frame how often it shows the things of
    either scene, and how far that is above the worse end."""
    prompts = [each for each in evaluation_prompts(config, 8 * pairs) if each.kind == "one"][: 2 * pairs]
    ends = _generate(model, make_requests(model, [each.prompt for each in prompts]))
    shown: list[list[bool]] = []
    for k in range(0, len(ends), 2):
        frames = _generate(model, [model.morph(ends[k], ends[k + 1])])
        scenes = [each.scene for each in prompts[k : k + 2]]
        outputs = classifier.classify([np.asarray(each.image) for each in frames])
        shown.append([_shows_either(scenes, output) for output in outputs])
    shares = [fmean(values) for values in zip(*shown, strict=True)]
    worse = min(shares[0], shares[-1])
    rows = [[f"{k} of {DEFAULT_FRAMES}", share, f"{100 * (share - worse):+.1f}"] for k, share in enumerate(shares, 1)]
    verdict = "No frame" if min(shares) >= worse - MAX_LOSS else "A frame"
    table = markdown_table(["frame", "shows a thing of either picture", "points above the worse end"], rows)
    return f"{table}\n\n{len(shown)} pairs. {verdict} is worse than the worse end minus {100 * MAX_LOSS:.0f} points."


def _shows_either(scenes: Sequence[Scene], output: ClassifierOutput) -> bool:
    return any(has_all_things(scene, output) for scene in scenes)


def _generate(model: Wuerstchen, requests: Sequence[Request]) -> list[Result]:
    """The images of all requests, in their order. Raises UserError."""
    results: dict[tuple[int, int], Result] = {}
    for number, event in model.run_all(requests):
        if isinstance(event, UserError):
            raise event
        if isinstance(event, Result):
            results[number, event.index] = event
    return [results[key] for key in sorted(results)]
