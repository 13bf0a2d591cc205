"""Report on two prompts with one seed as HTML: both pictures and their difference, step by step.

Maps show how far apart two latents are in shares of their spread: the root mean square of their difference over the
standard deviation of the last step's numbers, by channel.

Where two pictures part is measured on d_k, the difference of what both predict after step k, against that of the last
step, d_n: 1 - |d_k - d_n| / |d_n| is the share of the final difference that is in place. The size of d_k alone does not
tell: predictions of two prompts are apart from the first step on, but not yet as they are in the end. Nor do the noisy
latents: how fast they part follows from the noise schedule, whatever the prompts are.
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

PARTING_SHARE = 0.75
"""Two pictures have parted where at least this share of their final difference is in place."""
APART_SHARE = 0.5
"""Positions differ that are further apart than this share of the spread."""
BRIGHTEST_SHARE = 2.0
"""Difference that has the brightest color in maps."""
Latents = Sequence[NDArray[np.floating[Any]]]


def measure_differences(one: Latents, other: Latents) -> list[NDArray[np.float64]]:
    """Maps (h, w) of the difference of two images' latents at each step, in shares of their spread."""
    spread = np.sqrt(np.mean([each[-1].var(axis=(1, 2)).mean() for each in (one, other)])) or 1.0
    return [np.sqrt(np.square(a.astype(np.float64) - b).mean(axis=0)) / spread for a, b in zip(one, other, strict=True)]


def measure_parting(one: Latents, other: Latents) -> list[float]:
    """The share, 0 to 1, of the final difference of two images' latents that is in place at each step; none without a
    final difference."""
    differences = [a.astype(np.float64) - b for a, b in zip(one, other, strict=True)]
    whole = float(np.linalg.norm(differences[-1]))
    return (
        [max(0.0, 1 - float(np.linalg.norm(each - differences[-1])) / whole) for each in differences] if whole else []
    )


def find_parting(shares: Sequence[float]) -> int:
    """The first step, from 0, from which on at least PARTING_SHARE of the final difference is in place."""
    step = len(shares)
    while step and shares[step - 1] >= PARTING_SHARE:
        step -= 1
    return step


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
    shares = {
        "prior": measure_parting(one.stages.prior, other.stages.prior),
        "decoder": measure_parting(one.stages.decoder, other.stages.decoder),
    }
    indices = {stage: latent_images.sample_indices(len(maps), MAX_FRAMES) for stage, maps in differences.items()}

    def caption(stage: str, step: int, of: int) -> Message:
        name = step_caption(stage, step, of)
        if not shares[stage]:
            return message("{step}: no difference", step=name)
        return message("{step}: {percent} % of the difference", step=name, percent=round(100 * shares[stage][step]))

    steps = [each.stages.prior[k] for each in results for k in indices["prior"]]  # type: ignore[union-attr]
    colors = latent_images.project_to_component(steps).frames
    count, last = len(indices["prior"]), {stage: len(each) - 1 for stage, each in indices.items()}
    legend = message(
        "The difference goes from dark blue (none) to yellow ({share:g} times the spread of the numbers).",
        share=BRIGHTEST_SHARE,
    )
    prompts = _mark_differences(one.request.prompt, other.request.prompt)
    return (
        f'<div class="account" data-stage="vqgan" style="--prior: {last["prior"]}; --decoder: {last["decoder"]};'
        f' --ratio: {one.image.width} / {one.image.height}">'
        f'<p class="parting">{translate(_describe_parting(shares["prior"], differences["prior"][-1]))}</p>'
        f"{render_slider(indices['prior'], indices['decoder'], one.stages, caption)}"
        f'<div class="pair">{_render_image(one, prompts[0], colors[:count], indices["decoder"])}'
        f"{_render_differences(differences, indices)}"
        f"{_render_image(other, prompts[1], colors[count:], indices['decoder'])}</div>"
        f'<p class="legend">{translate(legend)}</p></div>'
    )


def _describe_parting(shares: Sequence[float], last: NDArray[np.float64]) -> Message:
    if not shares:
        return message("They never part: both prompts give the same result of the prior.")
    return message(
        "They part at step {step} of {of} of the prior: from there on, at least {percent} % of their final difference"
        " is in place. In the end {count} of {positions} positions are further apart than half of the spread of their"
        " numbers.",
        step=find_parting(shares) + 1,
        of=len(shares),
        percent=round(100 * PARTING_SHARE),
        count=int((last > APART_SHARE).sum()),
        positions=last.size,
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
    strips = "".join(
        f'<div class="{stage}">'
        + render_stage_strip(
            stage,
            [apply_colormap(maps[k] / BRIGHTEST_SHARE) for k in indices[stage]],
            "PNG",
            _describe_differences(stage, maps[-1]),
        )
        + "</div>"
        for stage, maps in differences.items()
    )
    return f"<section><h4>{translate('Difference')}</h4>{strips}</section>"


def _describe_differences(stage: str, last: NDArray[np.float64]) -> Message:
    row, column = latent_images.find_position(np.argmax(last), last.shape)
    place = {"row": row + 1, "column": column + 1}
    if stage == "decoder":
        return message(
            "Where the results of the decoder differ: in the end most at row {row}, column {column}", **place
        )
    return message("Where the results of the prior differ: in the end most at row {row}, column {column}", **place)


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
