"""OpenVINO for prior, decoder and VQGAN on a CPU, in place of their PyTorch forward passes.

Each network is converted once and then compiled for each size of image and batch; batches are padded to a few sizes,
as under torch.compile. Compiled shapes hold a copy of the weights in the compute dtype, so only a few are kept.
Text embeddings, the text KV cache and the resizing of image embeddings, which OpenVINO's conversion computes
inexactly, stay in PyTorch. Weights in PyTorch are released where nothing else needs them.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_common import AttnBlock
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from torch import Tensor, nn

from wuerst_demo.networks.compile import COMPILED_BATCH_SIZES, pad_batch
from wuerst_demo.networks.text_kv_cache import TextKVCache

if TYPE_CHECKING:
    from wuerst_demo.networks.components import CascadeComponents

MAX_COMPILED_SHAPES = 6
"""Shapes kept per network: the least recently used one makes room."""
_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
_EXAMPLE_LATENTS, _EXAMPLE_TOKENS = 8, 77


class OpenVinoForward:
    """A module's forward pass in OpenVINO. All arguments and the result are float32 tensors (B, ...)."""

    def __init__(self, module: nn.Module, example: Sequence[Tensor], dtype: str) -> None:
        import openvino

        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations of torch.jit, which OpenVINO's own conversion uses
            self._model = openvino.convert_model(module, example_input=tuple(example))
        self._core = openvino.Core()
        # Said explicitly: OpenVINO takes bfloat16 by itself where there is AMX.
        self._options = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[dtype],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        self._requests: OrderedDict[tuple[tuple[int, ...], ...], Any] = OrderedDict()

    def __call__(self, *inputs: Tensor) -> Tensor:
        count = len(inputs[0])
        size = next((each for each in COMPILED_BATCH_SIZES if each >= count), count)
        arrays = [pad_batch(each.float(), size).contiguous().numpy() for each in inputs]
        request = self._compile(tuple(array.shape for array in arrays))
        return torch.from_numpy(request.infer(arrays, share_inputs=True)[0])[:count]

    def _compile(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        """The inference request for inputs of these shapes."""
        if shapes not in self._requests:
            model = self._model.clone()
            model.reshape({port: list(shape) for port, shape in zip(model.inputs, shapes, strict=True)})
            compiled = self._core.compile_model(model, "CPU", self._options)
            self._requests[shapes] = compiled.create_infer_request()
            if len(self._requests) > MAX_COMPILED_SHAPES:
                self._requests.popitem(last=False)
        self._requests.move_to_end(shapes)
        return self._requests[shapes]


def use_openvino(components: CascadeComponents, dtype: str) -> None:
    """Makes prior, decoder and VQGAN, loaded in float32 and optimized, run in OpenVINO with this dtype, in place."""
    _replace_prior(components.prior, dtype)
    _replace_decoder(components.decoder, dtype)
    _replace_vqgan(components.vqgan, dtype)


class _Graph(nn.Module):
    """Prior or decoder without the arithmetic that needs float32: takes times that are embedded and image embeddings
    that are resized to the decoder's levels already, and returns what the network's last layer does."""

    def __init__(self, network: nn.Module, last_layer: nn.Module) -> None:
        super().__init__()
        self.network, self.last_layer = network, last_layer

    def forward(self, x: Tensor, embedded_t: Tensor, text: Tensor, *levels: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        hook = self.last_layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
        waiting = iter([*levels, *reversed(levels)])  # as the decoder asks for them, on its way down and up
        try:
            with (
                patch.object(self.network, "gen_r_embedding", lambda r: embedded_t),
                patch.object(nn.functional, "interpolate", lambda *inputs, **how: next(waiting)),
            ):
                self.network(x, embedded_t, *levels[:1], text)
        finally:
            hook.remove()
        return outputs[0]


def _replace_prior(prior: WuerstchenPrior, dtype: str) -> None:
    cached, config, embed = cast(TextKVCache, prior), prior.config, cast(Any, prior).gen_r_embedding
    latents = torch.zeros(2, config["c_in"], _EXAMPLE_LATENTS, _EXAMPLE_LATENTS)
    with torch.no_grad():
        text_kv = cached.compute_text_kv(torch.zeros(2, _EXAMPLE_TOKENS, config["c_cond"]))
    run = OpenVinoForward(_Graph(prior, prior.out), (latents, embed(torch.ones(2)), text_kv), dtype)

    def forward(x: Tensor, r: Tensor, c: Tensor) -> Tensor:
        a, b = run(x, embed(r), c if c.dim() == 4 else cached.compute_text_kv(c)).chunk(2, dim=1)
        return (x - a) / ((1 - b).abs() + 1e-5)  # as in WuerstchenPrior.forward

    cast(Any, prior).forward = forward
    _release_weights(prior, [prior.cond_mapper])


def _replace_decoder(decoder: WuerstchenDiffNeXt, dtype: str) -> None:
    cached, config, embed = cast(TextKVCache, decoder), decoder.config, cast(Any, decoder).gen_r_embedding

    def resize(x: Tensor, effnet: Tensor) -> list[Tensor]:
        """Image embeddings for each level that takes them, as the decoder resizes them."""
        height, width = (side // config["patch_size"] for side in x.shape[2:])
        sizes = [(height >> level, width >> level) for level, takes in enumerate(config["inject_effnet"]) if takes]
        how: dict[str, Any] = {"mode": "bicubic", "antialias": True, "align_corners": True}
        return [nn.functional.interpolate(effnet.float(), size, **how) for size in sizes]

    side = _EXAMPLE_LATENTS * config["patch_size"] * 2 ** (len(config["inject_effnet"]) - 1)
    latents, effnet = torch.zeros(2, config["c_in"], side, side), torch.zeros(2, config["effnet_embd"], 6, 6)
    with torch.no_grad():
        text_kv = cached.compute_text_kv(torch.zeros(2, _EXAMPLE_TOKENS, config["clip_embd"]))
    example = (latents, embed(torch.ones(2)), text_kv, *resize(latents, effnet))
    run = OpenVinoForward(_Graph(decoder, decoder.clf), example, dtype)

    def forward(x: Tensor, r: Tensor, effnet: Tensor, clip: Tensor) -> Tensor:
        text_kv = clip if clip.dim() == 4 else cached.compute_text_kv(clip)
        a, b = run(x, embed(r), text_kv, *resize(x, effnet)).chunk(2, dim=1)
        return (x - a) / (b.sigmoid() * (1 - 1e-3 * 2) + 1e-3)  # as in WuerstchenDiffNeXt.forward

    cast(Any, decoder).forward = forward
    _release_weights(decoder, [decoder.clip_mapper])


def _replace_vqgan(vqgan: PaellaVQModel, dtype: str) -> None:
    latents = torch.zeros(1, vqgan.config["latent_channels"], 4 * _EXAMPLE_LATENTS, 4 * _EXAMPLE_LATENTS)
    run = OpenVinoForward(nn.Sequential(vqgan.up_blocks, vqgan.out_block).eval(), (latents,), dtype)
    cast(Any, vqgan).decode = lambda h: SimpleNamespace(sample=run(h))
    _release_weights(vqgan, [])


def _release_weights(network: nn.Module, kept: Sequence[nn.Module]) -> None:
    """Frees the weights of a network but those of `kept` and those that text keys and values need."""
    for block in network.modules():
        if isinstance(block, AttnBlock):
            kept = [*kept, block.kv_mapper, block.attention.to_k, block.attention.to_v]
    owners = {module for each in kept for module in each.modules()}
    for module in network.modules():
        if module not in owners:
            for name, parameter in module.named_parameters(recurse=False):
                setattr(module, name, nn.Parameter(parameter.to("meta"), requires_grad=False))
