"""Files of a resolved checkpoint, with the content of their configs and headers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wuerst_demo.checkpoints.capabilities import CheckpointInfo
from wuerst_demo.checkpoints.lora_mapping import Lora
from wuerst_demo.checkpoints.network_config import LatentScaling, NetworkConfig, NetworkKind
from wuerst_demo.checkpoints.safetensors_header import STORED_DTYPES, SafetensorsFile, TensorInfo
from wuerst_demo.checkpoints.source import Source

_FINGERPRINT_SAMPLE_BYTES = 1 << 16


@dataclass(frozen=True)
class NetworkFiles:
    """Verified files of one network."""

    kind: NetworkKind
    source: Source
    revision: str
    """Commit of the repository; "" for a folder."""
    config: NetworkConfig
    """Complete, validated options."""
    weights: tuple[SafetensorsFile, ...]
    """One file, or several shards."""

    @property
    def tensors(self) -> Iterator[TensorInfo]:
        """Headers of all stored tensors."""
        return (tensor for file in self.weights for tensor in file.tensors.values())

    @property
    def parameters(self) -> int:
        """Number of elements of all tensors."""
        return sum(tensor.elements for tensor in self.tensors)


@dataclass(frozen=True)
class ResolvedCheckpoint:
    """A whole cascade on disk, verified except for the values of its tensors."""

    prior: NetworkFiles
    prior_text_encoder: NetworkFiles
    prior_tokenizer: Path
    decoder: NetworkFiles
    decoder_text_encoder: NetworkFiles
    decoder_tokenizer: Path
    vqgan: NetworkFiles
    scaling: LatentScaling
    name: str
    """For users and image metadata: the decoder's Hub name, folder name or "cocktail", then " + " and the prior, VQGAN
    and LoRAs chosen in addition."""
    info: CheckpointInfo
    loras: tuple[Lora, ...] = ()

    @property
    def revision(self) -> str:
        """Commit of the decoder's repository; "" for a folder."""
        return self.decoder.revision

    @property
    def networks(self) -> tuple[NetworkFiles, ...]:
        """The five networks."""
        return self.prior, self.prior_text_encoder, self.decoder, self.decoder_text_encoder, self.vqgan

    @property
    def parameters(self) -> int:
        """Parameters of the five networks together."""
        return sum(network.parameters for network in self.networks)

    @property
    def stored_bytes(self) -> int:
        """Size of the tensors on disk."""
        return sum(tensor.bytes for network in self.networks for tensor in network.tensors)

    @property
    def stored_dtypes(self) -> tuple[str, ...]:
        """Floating-point dtypes on disk, by torch's names."""
        dtypes = {STORED_DTYPES[tensor.dtype] for network in self.networks for tensor in network.tensors}
        return tuple(sorted(dtypes - {"int64"}))


def checkpoint_fingerprint(checkpoint: ResolvedCheckpoint) -> str:
    """SHA-256 over the sizes and sampled bytes of the weight files of prior, decoder and VQGAN."""
    digest = hashlib.sha256()
    for network in (checkpoint.prior, checkpoint.decoder, checkpoint.vqgan):
        for weights in network.weights:
            size = weights.path.stat().st_size
            digest.update(size.to_bytes(8, "little"))
            with weights.path.open("rb") as file:
                for position in (0, size // 2, max(0, size - _FINGERPRINT_SAMPLE_BYTES)):
                    file.seek(position)
                    digest.update(file.read(_FINGERPRINT_SAMPLE_BYTES))
    return digest.hexdigest()
