"""Sample sheets while a stage trains, as PNG files. Does not train and does not judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from wuerst_demo.training import diffusion, networks
from wuerst_demo.training.things import Thing

PLACES = ("on the grass", "at night", "on a blue background", "in the snow at sunset", "on the beach", "in space")


@torch.no_grad()
def decoder_sheet(
    path: Path,
    pictures: Tensor,
    z: Tensor,
    captions: Sequence[str],
    modules: Mapping[str, nn.Module],
    tokenizer: CLIPTokenizer,
    vqgan: nn.Module,
) -> None:
    """What the decoder makes of the z and the captions of pictures (B, 3, H, W): the pictures; what it sees in pure
    noise; and what that becomes in ten steps."""
    images = networks.seen_by_decoder(z)
    given = networks.encode_text(modules["text"], tokenizer, captions)
    torch.manual_seed(0)
    noise = torch.randn(len(z), 4, pictures.shape[2] // 4, pictures.shape[3] // 4).to(z.device)

    def predict(x: Tensor, t: Tensor) -> Tensor:
        out: Tensor = modules["decoder"](x, t, images, given)
        return out

    first = diffusion.clean(noise, predict(noise, torch.ones(len(noise), device=noise.device)), torch.ones(1))
    latents = diffusion.denoise(predict, noise, torch.linspace(1, 0, 11))
    decoded = [vqgan.decode(each).sample for each in (first, latents)]  # type: ignore[operator]
    save_sheet(path, [pictures, *decoded])


@torch.no_grad()
def prior_sheet(
    path: Path,
    known: Sequence[Thing],
    modules: Mapping[str, nn.Module],
    tokenizer: CLIPTokenizer,
    sketcher: nn.Module,
) -> None:
    """Prompts sketched by the throwaway decoder, with guidance 4."""
    prompts = [f"a {thing.name} {PLACES[k % len(PLACES)]}" for k, thing in enumerate(known[:16])]
    given = networks.encode_text(modules["text"], tokenizer, prompts + [""] * len(prompts))

    def predict(x: Tensor, t: Tensor) -> Tensor:
        conditional, unconditional = modules["prior"](torch.cat([x, x]), torch.cat([t, t]), given).chunk(2)
        return torch.lerp(unconditional, conditional, 4.0)

    torch.manual_seed(0)
    noise = torch.randn(len(prompts), networks.LATENT_CHANNELS, 6, 6).to(given.device)
    z = diffusion.denoise(predict, noise, torch.linspace(1, 0, 21))
    sketches = functional.interpolate(sketcher(z, 256, 256).float(), scale_factor=2)
    save_sheet(path, torch.split(sketches, 8) if len(sketches) % 8 == 0 else [sketches])


def save_sheet(path: Path, rows: Sequence[Tensor]) -> None:
    """Writes rows of pictures (B, 3, H, W) in 0..1 as one PNG."""
    sheet = torch.cat([torch.cat(list(row.float().cpu().clamp(0, 1)), -1) for row in rows], -2)
    Image.fromarray((sheet.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(path)
