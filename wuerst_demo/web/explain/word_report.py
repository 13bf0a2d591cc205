"""Report on two prompts with one seed as HTML: both pictures and their difference, step by step.

How far apart two latents are is measured in shares of their spread: the root mean square of their difference over the
standard deviation of the last step's numbers, by channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wuerst_demo.events import Result
from wuerst_demo.messages import Message, message
from wuerst_demo.web.explain import latent_images
from wuerst_demo.web.explain.colormap import apply_colormap
from wuerst_demo.web.explain.report import (
    MAX_FRAMES,
    render_picture,
    render_slider,
    render_stage_strip,
    step_caption,
)
from wuerst_demo.web.i18n.translate import translate

PARTING_SHARE = 0.5
"""Two latents have parted where they differ by more than this share of their spread."""
BRIGHTEST_SHARE = 2.0
"""Difference that has the brightest color in maps."""
Latents = Sequence[NDArray[np.floating[Any]]]


def measure_differences(one: Latents, other: Latents) -> list[NDArray[np.float64]]:
    """Maps (h, w) of the difference of two images' latents at each step, in shares of their spread."""
    spread = np.sqrt(np.mean([each[-1].var(axis=(1, 2)).mean() for each in (one, other)])) or 1.0
    return [np.sqrt(np.square(a.astype(np.float64) - b).mean(axis=0)) / spread for a, b in zip(one, other, strict=True)]


def find_parting(differences: Sequence[NDArray[np.float64]]) -> int | None:
    """The first step, from 0, from which the latents stay further apart than PARTING_SHARE; None if they do not."""
    step = len(differences)
    while step and mean_difference(differences[step - 1]) > PARTING_SHARE:
        step -= 1
    return step if step < len(differences) else None


def mean_difference(difference: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(difference).mean()))


def render_word_report(results: Sequence[Result]) -> str:
    """The report on two results with stages, of requests that differ in the prompt alone. Raises ValueError for results
    without stages."""
    one, other = results
    if one.stages is None or other.stages is None or not one.stages.prior:
        raise ValueError("the results have no stages")
    differences = {
        "prior": measure_differences(one.stages.prior, other.stages.prior),
        "decoder": measure_differences(one.stages.decoder, other.stages.decoder),
    }
    indices = {stage: latent_images.sample_indices(len(maps), MAX_FRAMES) for stage, maps in differences.items()}

    def caption(stage: str, step: int, of: int) -> Message:
        percent = round(100 * mean_difference(differences[stage][step]))
        return message("{step}: {percent} % apart", step=step_caption(stage, step, of), percent=percent)

    steps = [each.stages.prior[k] for each in results for k in indices["prior"]]  # type: ignore[union-attr]
    colors = latent_images.project_to_component(steps).frames
    count, last = len(indices["prior"]), {stage: len(each) - 1 for stage, each in indices.items()}
    prompts = _mark_differences(one.request.prompt, other.request.prompt)
    return (
        f'<div class="account" data-stage="vqgan" style="--prior: {last["prior"]}; --decoder: {last["decoder"]};'
        f' --ratio: {one.image.width} / {one.image.height}">'
        f'<p class="parting">{translate(_describe_parting(differences["prior"]))}</p>'
        f"{render_slider(indices['prior'], indices['decoder'], one.stages, caption)}"
        f'<div class="pair">{_render_image(one, prompts[0], colors[:count], indices["decoder"])}'
        f"{_render_differences(differences, indices)}"
        f"{_render_image(other, prompts[1], colors[count:], indices['decoder'])}</div></div>"
    )


def _describe_parting(differences: Sequence[NDArray[np.float64]]) -> Message:
    last, step = differences[-1], find_parting(differences)
    facts = {
        "percent": round(100 * PARTING_SHARE),
        "count": int((last > PARTING_SHARE).sum()),
        "positions": last.size,
    }
    if step is None:
        return message(
            "In the prior they never differ by more than {percent} % of their spread as a whole; in the end they do at"
            " {count} of {positions} positions.",
            **facts,
        )
    return message(
        "They part at step {step} of {of} of the prior: from there on their numbers differ by more than {percent} % of"
        " their spread, in the end at {count} of {positions} positions.",
        step=step + 1,
        of=len(differences),
        **facts,
    )


def _render_image(
    result: Result, prompt: str, colors: Sequence[latent_images.PixelArray], decoder: Sequence[int]
) -> str:
    assert result.stages is not None
    frames = latent_images.fit_to_image([result.stages.decoder[k] for k in decoder], result.image)
    prior = render_stage_strip("prior", colors, "PNG", message("The prior's result as one map of its main differences"))
    details = render_stage_strip("decoder", frames, "WEBP", message("Result of the decoder"))
    return (
        f'<section><h4 translate="no">{prompt}</h4><div class="prior">{prior}</div>'
        f'<div class="decoder">{details}</div><div class="vqgan">{render_picture(result.image)}</div></section>'
    )


def _render_differences(differences: dict[str, list[NDArray[np.float64]]], indices: dict[str, list[int]]) -> str:
    alts = {
        "prior": message("Where the results of the prior differ"),
        "decoder": message("Where the results of the decoder differ"),
    }
    strips = "".join(
        f'<div class="{stage}">'
        + render_stage_strip(
            stage, [apply_colormap(maps[k] / BRIGHTEST_SHARE) for k in indices[stage]], "PNG", alts[stage]
        )
        + "</div>"
        for stage, maps in differences.items()
    )
    legend = translate(
        message("From dark blue (the same) to yellow (apart by {share:g} times the spread).", share=BRIGHTEST_SHARE)
    )
    return f'<section><h4>{translate("Difference")}</h4>{strips}<p class="legend">{legend}</p></section>'


def _mark_differences(one: str, other: str) -> tuple[str, str]:
    """Both prompts as HTML, with the words marked that the other does not have there."""
    words = one.split(), other.split()
    marked: tuple[list[str], list[str]] = ([], [])
    for kind, *bounds in SequenceMatcher(None, *words, autojunk=False).get_opcodes():
        for side, (begin, end) in enumerate((bounds[:2], bounds[2:])):
            text = escape(" ".join(words[side][begin:end]))
            if text:
                marked[side].append(text if kind == "equal" else f"<mark>{text}</mark>")
    return " ".join(marked[0]), " ".join(marked[1])
