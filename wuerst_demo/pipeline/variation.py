"""Where a variation and a frame of a morph start: their image embeddings and text, and the noise of their details."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.pipeline.noise_generator import NoiseGenerator, slerp_weights
from wuerst_demo.timesteps import guided_evaluations
from wuerst_demo.variation import decode_image_embeddings

if TYPE_CHECKING:
    from torch import Tensor

    from wuerst_demo.checkpoints.network_config import LatentScaling
    from wuerst_demo.pipeline.image_state import ImageState
    from wuerst_demo.prompts.encoder import EncoderName, PromptEmbeddings, PromptEncoder
    from wuerst_demo.request import Request

MAX_FURTHER_TEXT = 0.3
"""Share of the further picture's text in what the prior makes of a frame in the middle. None makes a harder change
there; from 0.4 on, things that are neither of the two: docs/training.md."""


def load_start(request: Request, shape: Sequence[int], scaling: LatentScaling) -> Tensor | None:
    """The image embeddings (1, *shape) that a request goes on from, float32, on the CPU; None from noise.

    A frame of a morph lies on a great circle of the prior's latents. Raises InvalidRequest for another shape.
    """
    if request.morph is not None:
        first, last = (
            (_load_image_embeddings(each.image_embeddings, shape, "morph") + scaling.latent_std) / scaling.latent_mean
            for each in (request.morph.first, request.morph.last)
        )
        between = slerp(first.flatten(1), last.flatten(1), request.morph.share).view(1, *shape)
        return between * scaling.latent_mean - scaling.latent_std
    if request.variation is not None:
        return _load_image_embeddings(request.variation.image_embeddings, shape, "variation")
    return None


def _load_image_embeddings(text: str, shape: Sequence[int], field: str) -> Tensor:
    array = decode_image_embeddings(text, field)
    if array.shape != tuple(shape):
        raise InvalidRequest(
            "The picture to go on from has another size or comes from another kind of checkpoint; choose its size and"
            " checkpoint, or start from its prompt.",
            field,
        )
    return torch.from_numpy(array).float()[None]


def encode_text(encoder: PromptEncoder, network: EncoderName, request: Request, guided: bool) -> PromptEmbeddings:
    """The embeddings of a request's prompts. For a frame of a morph they lie between those of its pictures: the prior,
    which makes a picture of what is between two, has at most MAX_FURTHER_TEXT of the further one."""
    morph = request.morph
    if morph is None:
        return encoder.encode(network, request.prompt, request.negative_prompt if guided else None, request.weighting)
    first, last = (encode_text(encoder, network, end.request, guided) for end in (morph.first, morph.last))
    share = morph.share if network == "decoder" else _prior_text_share(morph.share)
    return encoder.combine(network, first, last, lambda one, other: slerp(one, other, share))


def _prior_text_share(share: float) -> float:
    """The last picture's share of the prior's text in a frame at `share` of the way, 0 to 1 with a gap in the middle,
    where the frame belongs to the first picture."""
    return 2 * MAX_FURTHER_TEXT * share if share <= 0.5 else 1 - 2 * MAX_FURTHER_TEXT * (1 - share)


def slerp(first: Tensor, last: Tensor, share: float) -> Tensor:
    """The vectors (..., n) at `share` of the way between two, on a great circle; their lengths go along."""
    a, b = first.double().cpu(), last.double().cpu()
    # Sums along the last dimension of a CPU tensor do not depend on the number of threads.
    cosines = (a * b).sum(-1) / (a.square().sum(-1) * b.square().sum(-1)).sqrt().clamp(min=1e-30)
    weights = torch.tensor([slerp_weights(cosine, share) for cosine in cosines.flatten().tolist()])
    one, two = weights.double().view(*cosines.shape, 2).unbind(-1)
    return (one[..., None] * a + two[..., None] * b).to(first)


def start_generator(request: Request) -> NoiseGenerator:
    """The generator of the noise of a request of one image: its seed's, or, in a morph, both pictures' mixed."""
    morph = request.morph
    if morph is None:
        return NoiseGenerator.seeded(request.seed)
    first, last = (NoiseGenerator.seeded(each.request.seed) for each in (morph.first, morph.last))
    return first.mix(last, morph.share)


def decoder_generator(state: ImageState) -> NoiseGenerator:
    """The generator of the decoder's noise for a state at the end of the prior."""
    return _decoder_generator(state.request, state.generator, state.latents.shape[1:])


def _decoder_generator(request: Request, generator: NoiseGenerator | None, shape: Sequence[int]) -> NoiseGenerator:
    """The generator of the decoder's noise: `generator` goes on from the prior; None for one that draws its noise here.

    In a variation it is mixed with one that has drawn what the prior of the earlier image drew: at level 0 the details
    are those of the earlier image, at level 1 its own. A redrawn region takes those of the earlier image, too: it has
    others all the same, and the rest keeps its own. In a morph, those of its two images are mixed.
    """
    variation, morph = request.variation, request.morph
    if morph is not None:
        first, last = (_decoder_generator(each.request, None, shape) for each in (morph.first, morph.last))
        return first.mix(last, morph.share)
    own = generator or _generator_after(request, request.seed, len(guided_evaluations(request, "prior")), shape)
    if variation is None:
        return own
    seed = request.seed if variation.details_seed is None else variation.details_seed
    earlier = _generator_after(request, seed, request.prior_steps, shape)
    if variation.level == 0 or variation.details_seed is None or variation.mask:
        return earlier
    return earlier.mix(own, variation.level)


def _generator_after(request: Request, seed: int, evaluations: int, shape: Sequence[int]) -> NoiseGenerator:
    """A generator that has drawn the prior's noise of so many evaluations, latents of this shape each."""
    generator = NoiseGenerator.seeded(seed)
    noise = torch.empty(tuple(shape))
    for _ in range(1 + (evaluations if request.sampler == "ddpm" else 0)):
        generator.fill(noise)
    return generator
