"""The cocktail's networks: the published classes with widths in proportion to `scale`, an image encoder, and the
auxiliary heads that training needs.

The image encoder takes the place of Würstchen's EfficientNet (arXiv:2306.00637, section 3): an image at 3/4 of its size
becomes 16 normalised channels at 1/32 of that. Generating images needs neither it nor the heads; a checkpoint has them
in a file of their own.
"""

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

from wuerst_demo.checkpoints.network_config import LatentScaling
from wuerst_demo.training.data.batches import downscale
from wuerst_demo.training.data.dataset import LATENT_CHANNELS
from wuerst_demo.training.fast_grn import use_fast_grn
from wuerst_demo.training.tokenizer import MAX_TOKENS

TEXT_WIDTHS, TEXT_LAYERS = {"prior": 40, "decoder": 32}, {"prior": 3, "decoder": 2}
"""Text encoders at scale 1. The decoder's is smaller, since z carries most of what it needs."""
ENCODER_SCALE = 0.75  #: The image encoder's input size, relative to the image.


def build_vqgan(scale: int) -> PaellaVQModel:
    """Stage A."""
    sizes = {"embed_dim": 16 * scale, "bottleneck_blocks": scale, "num_vq_embeddings": 256 * scale}
    network: PaellaVQModel = PaellaVQModel(**sizes, scale_factor=1.0)
    return network


def vqgan_decoder_modules(vqgan: nn.Module) -> dict[str, nn.Module]:
    """The part of the VQGAN that turns latents into images, by its names in a state."""
    return {name: vqgan.get_submodule(name) for name in ("up_blocks", "out_block")}


class PatchDiscriminator(nn.Sequential):
    """Patch discriminator (arXiv:1611.07004, section 3.2.2): images (B, 3, H, W) to logits (B, 1, h, w), high for
    real ones. Each sees 26 pixels a side: edges and corners, not things. Without padding, since zeros would tell where
    an image ends."""

    def __init__(self, scale: int) -> None:
        width = 12 * scale
        super().__init__(
            nn.Conv2d(3, width, 4, stride=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width * 2, 4, stride=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width * 2, width * 2, 3),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width * 2, width * 2, 3),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width * 2, 1, 1),
        )


def build_decoder(scale: int) -> WuerstchenDiffNeXt:
    """Stage B, which predicts "all noise" at first. Most parameters are at the coarsest level, at positions of 64 x 64
    pixels (`scenes.GRID_PX`): wide layers at few positions store the most appearance per training time."""
    widths = [12 * scale, 24 * scale, 56 * scale, 112 * scale]
    network: WuerstchenDiffNeXt = WuerstchenDiffNeXt(
        c_hidden=widths,
        nhead=[-1, -1, -1, _head_count(widths[3])],
        blocks=[1, 1, 1, 1],
        # Attention at the coarsest level only, where it costs least. The two blocks behind it, which know the caption,
        # hold a third of all parameters.
        level_config=["CT", "CT", "CTCT", "CTCTACTCT"],
        inject_effnet=[False, True, True, True],
        c_cond=16 * scale,
        clip_embd=TEXT_WIDTHS["decoder"] * scale,
        dropout=0.0,
    )
    with torch.no_grad():
        for mapper in network.effnet_mappers:
            if isinstance(mapper, nn.Conv2d):  # its input has a standard deviation of 42
                mapper.weight.mul_(1 / 8)
        # the second half of the channels is b before its sigmoid; at t = 1 it has to be 1
        bias: Tensor = network.clf.get_parameter("1.bias")
        bias[bias.numel() // 2 :] = 4.0
    return network


def build_prior(scale: int) -> WuerstchenPrior:
    """Stage C. Its output convolution is zero at first: with diffusers' initialisation the loss began in the
    thousands."""
    width = 64 * scale
    network: WuerstchenPrior = WuerstchenPrior(
        c_in=LATENT_CHANNELS,
        c=width,
        c_cond=TEXT_WIDTHS["prior"] * scale,
        depth=max(2, scale * 3 // 2),
        nhead=_head_count(width),
        dropout=0.0,
    )
    for parameter in network.out.parameters():
        nn.init.zeros_(parameter)
    return network


def prepare_for_training(network: nn.Module, head: nn.Module) -> None:
    """Installs the fast GRN and plain attention, whose backward pass is faster on CPUs, and makes the head return
    float32: an error of 0.4 % in b at t = 1 is 40 % of the clean image."""
    use_fast_grn(network)
    head.register_forward_hook(lambda module, given, out: out.float())
    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor())


def predict_prior_parts(network: WuerstchenPrior, noisy: Tensor, t: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """a and b (B, 16, h, w) of the prior's prediction (noisy - a) / b, for noisy z (B, 16, h, w) at t (B,) and text
    (B, L, D). The prior itself returns the prediction alone."""
    outputs: list[Tensor] = []
    with network.out.register_forward_hook(lambda module, given, out: outputs.append(out.float())):
        network(noisy, t, text)
    a, b = outputs[0].chunk(2, dim=1)
    return a, (1 - b).abs() + 1e-5


def _head_count(width: int) -> int:
    """Attention heads of 32 channels, or of 40 or 16 if 32 does not divide the width."""
    return width // next(channels for channels in (32, 40, 16) if width % channels == 0)


def build_text_encoder(reader: str, scale: int, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The CLIP text encoder of the "prior" or the "decoder", to be trained from scratch."""
    width = TEXT_WIDTHS[reader] * scale
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width * 4,
        num_hidden_layers=TEXT_LAYERS[reader],
        num_attention_heads=_head_count(width),
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


class ConvNeXtBlock(nn.Module):
    """ConvNeXt block (arXiv:2201.03545) with a smaller kernel; (B, width, H, W) to the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.pointwise = nn.Sequential(nn.Linear(width, width * 3), nn.GELU(), nn.Linear(width * 3, width))

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.pointwise(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))
        return x + inner.permute(0, 3, 1, 2)


class ImageEncoder(nn.Module):
    """Images (B, 3, H, W) in 0..1 to z (B, 16, H / 32, W / 32); each channel of z has mean 0 and variance 1 over the
    training images."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        widths = [8 * scale, 16 * scale, 32 * scale, 48 * scale]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, stride=4), ConvNeXtBlock(widths[0])]
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1), ConvNeXtBlock(wide), ConvNeXtBlock(wide)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Conv2d(widths[-1], LATENT_CHANNELS, 1)
        self.normalise = nn.BatchNorm2d(LATENT_CHANNELS, affine=False, momentum=0.02)

    def forward(self, images: Tensor) -> Tensor:
        z: Tensor = self.normalise(self.head(self.layers(images * 2 - 1)).float())
        return z


def encode_images(encoder: nn.Module, images: Tensor) -> Tensor:
    """z (B, 16, 3 H / 128, 3 W / 128) of images (B, 3, H, W) in 0..1."""
    z: Tensor = encoder(downscale(images, ENCODER_SCALE))
    return z


class ContentHead(nn.Module):
    """Auxiliary classifier of z (B, 16, h, w): logits of the thing at each position (B, 1 + things, h, w), the first
    for none, and of the other labels (B, others). The published image encoder was pretrained for classification too."""

    def __init__(self, things: int, others: int) -> None:
        super().__init__()
        self.cells = nn.Conv2d(LATENT_CHANNELS, 1 + things, 1)
        self.whole = nn.Sequential(nn.Linear(LATENT_CHANNELS, 64), nn.GELU(), nn.Linear(64, others))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.cells(z), self.whole(z.mean((2, 3)))


class SketchDecoder(nn.Module):
    """Auxiliary decoder from z to a quarter-size image."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        width = 32 * scale
        conv = nn.Conv2d(LATENT_CHANNELS, width, 3, padding=1)
        self.inner = nn.Sequential(conv, ConvNeXtBlock(width), ConvNeXtBlock(width))
        blocks = [ConvNeXtBlock(width), ConvNeXtBlock(width)]
        self.outer = nn.Sequential(*blocks, nn.Conv2d(width, 3 * 16, 1), nn.PixelShuffle(4))

    def forward(self, z: Tensor, height: int, width: int) -> Tensor:
        """The image (B, 3, height / 4, width / 4) for z (B, 16, h, w) of an image of height x width pixels."""
        size = (height // 16, width // 16)
        x = functional.interpolate(self.inner(z), size=size, mode="bilinear", align_corners=False)
        image: Tensor = self.outer(x)
        return image


class CaptionHead(nn.Module):
    """Auxiliary loss that a caption's labels can be read from the mean of its text embedding: at first, attention
    averages over all 77 tokens, the few that matter vanish in the mean, and the diffusion loss teaches slowly."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, labels)

    def forward(self, text: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar, for text (B, L, width) and labels (B, labels) of 0 and 1; rows of zeros do not count."""
        logits = self.linear(text.float().mean(1))
        losses = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(1)
        return (losses * labels.any(1)).mean()


def decoder_conditioning(z: Tensor) -> Tensor:
    """z of any shape as the decoder expects it: 42 z - 1, as in the published checkpoints."""
    return LatentScaling.latent_mean * z - LatentScaling.latent_std


def encode_text(encoder: nn.Module, tokenizer: CLIPTokenizer, texts: Sequence[str], length: int = MAX_TOKENS) -> Tensor:
    """Text embeddings (B, length, D): the last hidden state under the padding mask, as in sampling."""
    device = next(encoder.parameters()).device
    tokens = tokenizer(list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    tokens = tokens.to(device)
    hidden: Tensor = encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
    return hidden
