"""The cocktail's networks: the published classes at sizes set by one dial, and the image encoder that training needs.

The image encoder takes the place of Würstchen's EfficientNet: a picture at 3/4 of its size becomes 16 channels at 1/32
of that, normalised. It is trained from scratch. Drawing needs neither it nor its helpers, namer, sketcher and hints; a
checkpoint carries them in a file of their own, so that it can be trained further.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from wuerst_demo.training.fast import quicken
from wuerst_demo.training.tokenizer import LENGTH

LATENT_CHANNELS = 16
LATENT_MEAN, LATENT_STD = 42.0, 1.0
TEXT_WIDTH = 40
"""Of the prior's text encoder, times the dial."""
SHRINK = 0.75
"""The image encoder sees pictures at this share of their size."""


def vqgan(dial: int) -> PaellaVQModel:
    """Stage A. `dial` 1 is for tests, 4 is the cocktail."""
    network: PaellaVQModel = PaellaVQModel(
        embed_dim=16 * dial, bottleneck_blocks=dial, num_vq_embeddings=256 * dial, scale_factor=1.0
    )
    return network


def decoder(dial: int) -> WuerstchenDiffNeXt:
    """Stage B. Starts as "all noise": its output is its input, whatever the time.

    Most of its parameters work on positions of 64 x 64 pixels (`scenes.CELL`): there it has to remember what things
    look like, and wide layers at few positions hold the most for the time they take.
    """
    widths = [12 * dial, 24 * dial, 56 * dial, 112 * dial]
    network: WuerstchenDiffNeXt = WuerstchenDiffNeXt(
        c_hidden=widths,
        nhead=[-1, -1, -1, _heads(widths[3])],
        blocks=[1, 1, 1, 1],
        # Attention at the coarsest level only: the levels above it cost more of it than they gain. Behind it the
        # caption is known; two more blocks there hold a third of all parameters, at so few positions in little time.
        level_config=["CT", "CT", "CTCT", "CTCTACTCT"],
        inject_effnet=[False, True, True, True],
        c_cond=16 * dial,
        clip_embd=32 * dial,
        dropout=0.0,
    )
    with torch.no_grad():
        for mapper in network.effnet_mappers:
            if isinstance(mapper, nn.Conv2d):  # its input has a deviation of 42
                mapper.weight.mul_(1 / 8)
        # the second half of the channels is b before its sigmoid; at t = 1 it has to be 1
        bias: Tensor = network.clf.get_parameter("1.bias")
        bias[bias.numel() // 2 :] = 4.0
    return network


def prior(dial: int) -> WuerstchenPrior:
    """Stage C. Its output convolution starts at zero: diffusers' start made the loss begin in the thousands."""
    width = 64 * dial
    network: WuerstchenPrior = WuerstchenPrior(
        c_in=LATENT_CHANNELS,
        c=width,
        c_cond=TEXT_WIDTH * dial,
        depth=max(2, dial * 3 // 2),
        nhead=_heads(width),
        dropout=0.0,
    )
    for parameter in network.out.parameters():
        nn.init.zeros_(parameter)
    return network


def prepare(network: nn.Module, head: nn.Module) -> None:
    """Makes a diffusion network quick and exact to train: the head's a and b leave half precision, since an error of
    0.4 % in b at t = 1 is 40 % of the clean picture."""
    quicken(network)
    head.register_forward_hook(lambda module, given, out: out.float())
    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor())


def prior_parts(network: WuerstchenPrior, noisy: Tensor, t: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """a and b, whose (noisy - a) / b the prior takes for the noise; it gives that alone."""
    found: list[Tensor] = []
    with network.out.register_forward_hook(lambda module, given, out: found.append(out.float())):
        network(noisy, t, text)
    a, b = found[0].chunk(2, dim=1)
    return a, (1 - b).abs() + 1e-5


def _heads(width: int) -> int:
    """Attention heads of 32 channels, or of 40 or 16 where those do not come out even."""
    return width // next(channels for channels in (32, 40, 16) if width % channels == 0)


def prior_text(dial: int, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The prior's text encoder."""
    return text_encoder(TEXT_WIDTH * dial, 3, tokenizer)


def decoder_text(dial: int, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The decoder's text encoder. It is smaller: most of what it reads, the latents tell already."""
    return text_encoder(32 * dial, 2, tokenizer)


def text_encoder(width: int, layers: int, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A CLIP text encoder, trained from scratch together with the network that reads it."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width * 4,
        num_hidden_layers=layers,
        num_attention_heads=_heads(width),
        max_position_embeddings=tokenizer.model_max_length,
        hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    # plain attention: at this size the backward pass of a CPU's fused attention takes twice as long
    config._attn_implementation = "eager"
    network: CLIPTextModel = CLIPTextModel(config)
    return network


class Block(nn.Module):
    """A ConvNeXt block: depthwise 3x3, layer norm, two pointwise layers, residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.pointwise = nn.Sequential(nn.Linear(width, width * 3), nn.GELU(), nn.Linear(width * 3, width))

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.pointwise(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))
        return x + inner.permute(0, 3, 1, 2)


class ImageEncoder(nn.Module):
    """Pictures (B, 3, H, W) in 0..1, H and W at SHRINK of the drawn size, to z (B, 16, H / 32, W / 32).

    Each channel of z has mean 0 and variance 1 over the training pictures.
    """

    def __init__(self, dial: int) -> None:
        super().__init__()
        widths = [8 * dial, 16 * dial, 32 * dial, 48 * dial]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, stride=4), Block(widths[0])]
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1), Block(wide), Block(wide)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Conv2d(widths[-1], LATENT_CHANNELS, 1)
        self.normalise = nn.BatchNorm2d(LATENT_CHANNELS, affine=False, momentum=0.02)

    def forward(self, pictures: Tensor) -> Tensor:
        z: Tensor = self.normalise(self.head(self.layers(pictures * 2 - 1)).float())
        return z


class Namer(nn.Module):
    """Names what z shows: the thing at each position, and what else the picture is labelled with.

    The published image encoder learned to name pictures before it learned anything else; this does it for ours.
    """

    def __init__(self, things: int, others: int) -> None:
        super().__init__()
        self.cells = nn.Conv2d(LATENT_CHANNELS, 1 + things, 1)
        self.whole = nn.Sequential(nn.Linear(LATENT_CHANNELS, 64), nn.GELU(), nn.Linear(64, others))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, 1 + things, H, W), first "nothing", and (B, others)."""
        return self.cells(z), self.whole(z.mean((2, 3)))


class Sketcher(nn.Module):
    """A throwaway decoder from z to a picture at a quarter of its size."""

    def __init__(self, dial: int) -> None:
        super().__init__()
        width = 32 * dial
        self.inner = nn.Sequential(nn.Conv2d(LATENT_CHANNELS, width, 3, padding=1), Block(width), Block(width))
        self.outer = nn.Sequential(Block(width), Block(width), nn.Conv2d(width, 3 * 16, 1), nn.PixelShuffle(4))

    def forward(self, z: Tensor, height: int, width: int) -> Tensor:
        """The picture (B, 3, height / 4, width / 4) for z of a picture of height x width pixels."""
        x = functional.interpolate(
            self.inner(z), size=(height // 16, width // 16), mode="bilinear", align_corners=False
        )
        out: Tensor = self.outer(x)
        return out


class Hints(nn.Module):
    """Names what a caption is about from the mean of its text embedding, a line of logits a caption.

    A diffusion loss teaches a text encoder slowly, since at first attention averages over all 77 tokens and the few
    that say something drown. This loss asks that very average to say it.
    """

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, labels)

    def forward(self, text: Tensor, labels: Tensor) -> Tensor:
        """The loss for text (B, 77, width) against labels (B, labels) of 0 and 1; lines without any 1 do not count."""
        logits = self.linear(text.float().mean(1))
        each = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(1)
        return (each * labels.any(1)).mean()


def seen_by_decoder(z: Tensor) -> Tensor:
    """The image encoder's z as the decoder reads it: 42 z - 1, as the published checkpoints have it."""
    return LATENT_MEAN * z - LATENT_STD


def encode_text(encoder: nn.Module, tokenizer: CLIPTokenizer, texts: Sequence[str], length: int = LENGTH) -> Tensor:
    """(B, length, D): the last hidden state under the padding mask, as the sampler computes it."""
    device = next(encoder.parameters()).device
    tokens = tokenizer(list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt").to(
        device
    )
    hidden: Tensor = encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
    return hidden
