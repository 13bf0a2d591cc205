"""Check that main memory has room for the next step, because the system may kill a process that takes too much."""

from __future__ import annotations

from collections.abc import Sequence

from wuerst_demo.checkpoints.network_config import VQGAN
from wuerst_demo.devices.hardware import Hardware
from wuerst_demo.devices.memory_estimate import estimate_activations
from wuerst_demo.networks.components import CascadeComponents
from wuerst_demo.pipeline.image_state import ImageState

MEMORY_CHECK_MIN_BYTES = 2**28
"""Steps that need less than this are not checked."""


def check_free_memory(states: Sequence[ImageState], components: CascadeComponents, hardware: Hardware) -> None:
    """Raises MemoryError if free main memory is too small for the next evaluation of states of equal `key`."""
    request, stage = states[0].request, states[0].stage
    configs = (components.prior.config, components.decoder.config, components.vqgan.config)
    pixels, multiple = request.width * request.height, components.scaling.resolution_multiple
    activations = estimate_activations(*configs, pixels, multiple)
    if stage == "vqgan":
        needed = activations[VQGAN.name] * len(states)
    else:
        samples = len(states) + sum(state.guided for state in states)
        needed = activations[stage] * samples // (2 if stage == "prior" else 1)  # the prior's are for two samples
    needed *= components.dtype.itemsize
    if needed > MEMORY_CHECK_MIN_BYTES and needed > hardware.memory("cpu").free_bytes:
        raise MemoryError("main memory has no room for this step")
