"""Warm-up of compiled networks: one-step runs at the default size, for each batch size that memory admits."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wuerst_demo.errors import PlacementError, UserError
from wuerst_demo.networks.compile import COMPILED_BATCH_SIZES

if TYPE_CHECKING:
    from wuerst_demo.networks.compile import CompiledForward
    from wuerst_demo.pipeline.cascade import Cascade
    from wuerst_demo.request import Limits


def warm_up(
    cascade: Cascade, compiled: Sequence[CompiledForward], limits: Limits, sizes: Sequence[int] = COMPILED_BATCH_SIZES
) -> str:
    """Compiles for images of the default size in batches of `sizes` samples; everything else runs uncompiled from then
    on. Returns a one-line summary for the user.

    Raises UserError where the prior's values are not finite in this dtype, PlacementError where not even one image
    fits into memory.
    """
    start = time.perf_counter()
    request = dataclasses.replace(
        limits.request({"seed": 0}), images=1, prior_steps=1, prior_guidance=0.0, decoder_steps=1, decoder_guidance=0.0
    )
    size_px = f"{request.width} x {request.height}"
    try:
        (prior_state,) = cascade.begin(request)
        (decoder_state,) = cascade.step([prior_state])
    except MemoryError:
        raise PlacementError(
            f"The device has not enough memory for one picture of {size_px}: close other programs, or give"
            " --offload model."
        ) from None
    if isinstance(decoder_state, UserError):
        raise decoder_state
    done: list[int] = []
    for size in sizes:
        try:
            cascade.step([prior_state] * size)
            cascade.step([decoder_state] * size)
        except MemoryError:
            break
        done.append(size)
    for each in compiled:
        each.freeze()
    if reason := next((each.failure for each in compiled if each.failure), ""):
        return f"Compiling failed ({reason}): the networks run uncompiled."
    return (
        f"Compiled in {time.perf_counter() - start:.0f} s for pictures of {size_px},"
        f" prompts of up to {prior_state.conditioning['prior'].text.shape[1]} tokens and batches of"
        f" {_format_sizes(done)}; everything else runs uncompiled."
    )


def _format_sizes(sizes: Sequence[int]) -> str:
    words = [str(size) for size in sizes]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else "none"
