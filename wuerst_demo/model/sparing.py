"""What is the same at every step is not computed at every step: all ways of that, for the parts of a cascade.

Measured in BENCHMARKS.md. The interpolation of the image embeddings is not among them: of 16 channels, it takes too
little to be kept. Does not know where parts are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wuerst_demo.model.folding import fold
from wuerst_demo.model.keeping import keeping

if TYPE_CHECKING:
    from wuerst_demo.model.parts import Parts


def spare(parts: Parts) -> None:
    """Changes prior and decoder in place, which have their final type and are at home. Comes before compiling and
    offload, which wrap what they find."""
    fold(parts.decoder)
    keeping(parts.prior)
    keeping(parts.decoder)
