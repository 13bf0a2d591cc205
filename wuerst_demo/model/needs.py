"""How much memory a checkpoint takes, said before it is loaded: its weights, and what the hungriest step adds.

All of it is arithmetic on the configs. The factors of `working` were found by counting the bytes that live at once
while networks of the published size compute one sample without memory (torch's "meta"); a test counts them again. What
a GPU's libraries take besides is in `SPARE`. Does not know torch or devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wuerst_demo.model import known
from wuerst_demo.model.configs import DECODER, PRIOR, VQGAN

if TYPE_CHECKING:
    from wuerst_demo.model.configs import Config
    from wuerst_demo.model.located import Located

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""The types to choose from -> bytes a number takes."""
SPARE = 300 * 2**20
"""What a GPU's libraries allocate for themselves, generously."""


SLICED = "VQGAN in slices"


@dataclass(frozen=True)
class Needs:
    """Counted in numbers, whatever their type. `parts` holds each network's weights, `layer` those of the largest
    layer, `working` what each of the three networks that draw needs besides, for one row of the default size; SLICED is
    the VQGAN where it computes in slices."""

    parts: Mapping[str, int]
    working: Mapping[str, int]
    layer: int

    @property
    def weights(self) -> int:
        """All weights together."""
        return sum(self.parts.values())

    def on_device(self, offload: str) -> int:
        """How many numbers are on the device at once, at most."""
        if offload == "sequential":
            return self.layer + max(count for part, count in self.working.items() if part != VQGAN.called)
        if offload == "model":
            return max(count + self.working.get(part, 0) for part, count in self.parts.items())
        return self.weights + max(self.working.values())

    def bytes(self, device: str, offload: str, dtype: str) -> int:
        """The same in bytes, with what a GPU's libraries take."""
        return self.on_device(offload) * BYTES[dtype] + (0 if device == "cpu" else SPARE)


def needs(located: Located) -> Needs:
    """What a checkpoint needs. Raises CheckpointError as `known.limits_of` does."""
    limits = known.limits_of(located)
    pixels = int(limits.number("width").default or 0) * int(limits.number("height").default or 0)
    layers = [tensor.elements for part in located.parts for file in part.weights for tensor in file.tensors.values()]
    return Needs(
        parts={part.kind.called: part.parameters for part in located.parts},
        working=working(
            located.prior.config,
            located.decoder.config,
            located.vqgan.config,
            pixels,
            located.resolution_multiple,
        ),
        layer=max(layers),
    )


def working(prior: Config, decoder: Config, vqgan: Config, pixels: int, resolution_multiple: float) -> dict[str, int]:
    """`Needs.working` for a picture of so many pixels.

    A block is four times as wide inside as outside, and of such tensors several live at once: 3.6 in the prior, which
    is guided by default and so computes two samples, 4.5 in the decoder, 2.8 in the VQGAN. In slices, 5.1 of the
    narrow ones count there.
    """
    levels = enumerate(decoder["c_hidden"])
    widest = max(4 * width * pixels / 16 / decoder["patch_size"] ** 2 / 4**level for level, width in levels)
    last = vqgan["embed_dim"] // 2 ** (vqgan["levels"] - 1) * pixels / vqgan["up_down_scale_factor"] ** 2
    return {
        PRIOR.called: int(3.6 * 2 * 4 * prior["c"] * pixels / resolution_multiple**2),
        DECODER.called: int(4.5 * widest),
        VQGAN.called: int(2.8 * 4 * last),
        SLICED: int(5.1 * last),
    }
