"""Classifier-free guidance for a batch in which some images are guided and others are not.

A guided image takes two samples of the forward pass, one with its text and one with its negative text. Which images are
guided may change from step to step (see `wuerst_demo.timesteps`); the others take one sample.

Source: classifier-free guidance, Ho and Salimans, arXiv 2207.12598.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wuerst_demo.messages import message
from wuerst_demo.networks.channels_last import channels_last
from wuerst_demo.networks.components import CascadeComponents
from wuerst_demo.pipeline.image_state import ImageState, StageConditioning
from wuerst_demo.request import Request
from wuerst_demo.timesteps import guided_evaluations


def predict_noise(
    components: CascadeComponents,
    states: Sequence[ImageState],
    conditioning: Sequence[StageConditioning],
    latents: Tensor,
    t: Tensor,
) -> Tensor:
    """The noise (n, C, h, w) that prior or decoder predicts in latents (n, C, h, w) at times t (n,), with guidance, all
    float32.

    The states have equal keys, the guided ones first; `conditioning` has an entry for each. One forward pass over n + g
    samples, where g states are guided.
    """
    count, guided = len(states), sum(state.guided for state in states)
    negative_texts = [each.negative_text for each in conditioning[:guided] if each.negative_text is not None]
    text = concatenate([each.text for each in conditioning] + negative_texts)
    if guided:
        latents, t = torch.cat([latents, latents[:guided]]), torch.cat([t, t[:guided]])
    if states[0].stage == "prior":
        epsilon: Tensor = components.prior(latents, r=t, c=text)
    else:
        embeddings = [state.image_embeddings for state in states if state.image_embeddings is not None]
        # The unconditional half has no image embeddings either: zeros, as in the decoder's training.
        zeros = [torch.zeros_like(each) for each in embeddings[:guided]]
        epsilon = components.decoder(channels_last(latents), r=t, effnet=concatenate(embeddings + zeros), clip=text)
    if not guided:
        return epsilon
    # One float32 scale per image, as the stock pipelines compute inside lerp with one scale for the batch.
    scales = [each.guidance for each in conditioning[:guided] if each.guidance is not None]
    scale = concatenate(scales).view(-1, 1, 1, 1)
    mixed = torch.lerp(epsilon[count:], epsilon[:guided], scale)
    return mixed if guided == count else torch.cat([mixed, epsilon[guided:count]])


def concatenate(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors along their first dimension; a single one without a copy."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def interval_notes(request: Request) -> list[str]:
    """A note for each network whose guidance has no effect, because no evaluation lies in its interval."""
    networks = (
        ("Prior", request.prior_guidance, guided_evaluations(request, "prior")),
        ("Decoder", request.decoder_guidance, guided_evaluations(request, "decoder")),
    )
    return [
        message(
            "{network}: none of its {steps} steps begins between {begin:g} and {end:g}, so it is not guided.",
            network=network,
            steps=len(guided),
            begin=request.guidance_from,
            end=request.guidance_to,
        )
        for network, guidance, guided in networks
        if guidance > 1 and guided and not any(guided)  # a variation at level 0 has no evaluation
    ]
