"""Times at which a request's images are evaluated by each network, and which of the evaluations are guided; no torch.

Time t is continuous, from 1 (noise) to 0 (clean). Guidance applies to the evaluations with guidance_from <= 1 - t <
guidance_to. An interval is given in time, not in steps, so that it means the same noise levels at any number of steps
and in both schedules.

Sources: Würstchen, arXiv 2306.00637 (section 3); guidance in an interval, Kynkäänniemi et al., arXiv 2404.07724.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wuerst_demo.request import Request

PUBLISHED_EVALUATIONS = 29
PUBLISHED_EVALUATIONS_ABOVE = 19
"""DEFAULT_STAGE_C_TIMESTEPS of diffusers has 29 evaluations, 19 of them above t = 2/3, where the layout is decided."""
_TIME_DIGITS = 6
"""Digits after the point to which times are compared with an interval: at 5 steps, 1 - 0.8 is 0.2."""


def two_part_timesteps(evaluations: int) -> tuple[float, ...]:
    """DEFAULT_STAGE_C_TIMESTEPS for 29 evaluations, its proportion of 19 to 10 for any other number.

    Each side of t = 2/3 has at least one evaluation; a single one goes straight from 1 to 0.
    """
    if evaluations == 1:
        return (1.0, 0.0)
    above = round(evaluations * PUBLISHED_EVALUATIONS_ABOVE / PUBLISHED_EVALUATIONS)
    above = min(max(above, 1), evaluations - 1)
    return (*_linspace(1.0, 2 / 3, above), *_linspace(2 / 3, 0.0, evaluations - above)[1:])


def linear_timesteps(evaluations: int) -> tuple[float, ...]:
    """Evenly spaced times from 1.0 to 0.0."""
    return _linspace(1.0, 0.0, evaluations)


def timesteps_below(times: tuple[float, ...], level: float) -> tuple[float, ...]:
    """The end of a schedule that begins at `level`, from 0 to 1, which may lie between two of its times."""
    return (level, *(t for t in times if t < level))


def guided_evaluations(request: Request, stage: str) -> tuple[bool, ...]:
    """Whether each evaluation of a stage is guided, which takes a second sample; () for stages without evaluations."""
    begin, end = request.guidance_from, request.guidance_to
    if stage == "prior":
        two_part = request.prior_schedule == "two-part"
        source = request.morph or request.variation
        level = 1.0 if source is None else source.level
        return _guided_evaluations(two_part, request.prior_steps, request.prior_guidance > 1, begin, end, level)
    if stage == "decoder":
        return _guided_evaluations(False, request.decoder_steps, request.decoder_guidance > 1, begin, end)
    return ()


@lru_cache
def _guided_evaluations(
    two_part: bool, evaluations: int, guided: bool, begin: float, end: float, level: float = 1.0
) -> tuple[bool, ...]:
    times = two_part_timesteps(evaluations) if two_part else linear_timesteps(evaluations)
    times = timesteps_below(times, level)
    return tuple(guided and begin <= round(1 - t, _TIME_DIGITS) < end for t in times[:-1])


def _linspace(first: float, last: float, count: int) -> tuple[float, ...]:
    """`count` + 1 values, the same as numpy's linspace."""
    step = (last - first) / count
    return (*(first + k * step for k in range(count)), last)
