"""A checkpoint that was found: records of where its files are and what their headers and configs say.

Does not know how they are found, nor torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wuerst_demo.model.configs import Config, Kind
from wuerst_demo.model.lora import Lora
from wuerst_demo.model.source import Source
from wuerst_demo.model.weights import DTYPES, WeightsFile


@dataclass(frozen=True)
class Part:
    """One network's files: its options (complete, checked) and its weights (headers checked)."""

    kind: Kind
    source: Source
    revision: str
    config: Config
    weights: tuple[WeightsFile, ...]

    @property
    def parameters(self) -> int:
        """How many numbers its weights hold."""
        return sum(tensor.elements for file in self.weights for tensor in file.tensors.values())


@dataclass(frozen=True)
class Located:
    """A whole cascade on disk, verified as far as that goes without reading a tensor.

    The four numbers are those of `Parts`. `name` is fit for a page and a picture's metadata: the decoder's Hub name,
    the last part of its folder or "cocktail", then a prior, a VQGAN and LoRAs that were chosen beside it. `demo` is
    what the decoder's folder says in demo.json (see known.py).
    """

    prior: Part
    prior_text_encoder: Part
    prior_tokenizer: Path
    decoder: Part
    decoder_text_encoder: Part
    decoder_tokenizer: Path
    vqgan: Part
    latent_mean: float
    latent_std: float
    resolution_multiple: float
    latent_dim_scale: float
    name: str
    demo: Mapping[str, Any] = field(default_factory=dict)
    loras: tuple[Lora, ...] = ()

    @property
    def revision(self) -> str:
        """The commit of the decoder's repository; "" for a folder."""
        return self.decoder.revision

    @property
    def parts(self) -> tuple[Part, ...]:
        """The five networks."""
        return self.prior, self.prior_text_encoder, self.decoder, self.decoder_text_encoder, self.vqgan

    @property
    def parameters(self) -> int:
        """How many numbers the five networks hold together."""
        return sum(part.parameters for part in self.parts)

    @property
    def stored_bytes(self) -> int:
        """How long their tensors are on disk."""
        return sum(tensor.bytes for part in self.parts for file in part.weights for tensor in file.tensors.values())

    @property
    def stored_dtypes(self) -> tuple[str, ...]:
        """The floating types they are stored in, in torch's words."""
        tensors = (tensor for part in self.parts for file in part.weights for tensor in file.tensors.values())
        return tuple(sorted({DTYPES[tensor.dtype] for tensor in tensors} - {"int64"}))
