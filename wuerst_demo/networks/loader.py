"""Loader: verified checkpoint files to networks, each tensor read straight into its final dtype and device.

Nothing in a checkpoint is executed: configs are plain dictionaries, weights are safetensors, and no library's
`from_pretrained` reads the networks' folders. A network is built without memory, its tensor names and shapes are
compared with the files' headers, and then tensors are copied one at a time from the mapped file. So no weight keeps its
random initialization, and anonymous memory (RssAnon) peaks at little more than the weights in their final dtype, which
`python -m tests.peak_memory` measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from accelerate import init_empty_weights  # type: ignore[import-untyped]
from diffusers.models.modeling_utils import no_init_weights
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from wuerst_demo.checkpoints.safetensors_header import refetch_remedy
from wuerst_demo.devices.device_errors import translate_device_errors
from wuerst_demo.devices.memory_estimate import estimate_memory
from wuerst_demo.devices.placement import Placement, check_fits
from wuerst_demo.errors import CheckpointError, PlacementError
from wuerst_demo.networks.attention import set_attention_processors
from wuerst_demo.networks.components import CascadeComponents, PromptComponents
from wuerst_demo.networks.lora_merge import merge_loras

if TYPE_CHECKING:
    from wuerst_demo.checkpoints.lora_mapping import Lora
    from wuerst_demo.checkpoints.manifest import NetworkFiles, ResolvedCheckpoint
    from wuerst_demo.checkpoints.network_config import NetworkConfig
    from wuerst_demo.checkpoints.safetensors_header import SafetensorsFile

_NETWORK_CLASSES = {each.__name__: each for each in (WuerstchenPrior, WuerstchenDiffNeXt, PaellaVQModel)}
_OBSOLETE_BUFFER_SUFFIX = "embeddings.position_ids"
"""A buffer (0, 1, 2, ...) that transformers saved until 2023 and that the class creates itself."""
_PROBE_TEXT = "".join(map(chr, (*range(32, 0x800, 5), 0x20AC, 0x1F32D)))
"""Characters of one to four bytes in UTF-8, which are the letters of the tokenizer."""
_CONFIG_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError, AssertionError, RuntimeError)
"""What networks raise for an invalid config, beside StrictDataclassError of text encoders."""


def load_components(checkpoint: ResolvedCheckpoint, placement: Placement) -> CascadeComponents:
    """The components of a checkpoint at the placement's home device; with offload, call `offload.apply_offload` next.

    Raises CheckpointError for files that do not match their configs or hold values that are not finite, PlacementError
    where memory is too small.
    """
    check_fits(placement, estimate_memory(checkpoint))
    prior_text, decoder_text = checkpoint.prior_text_encoder, checkpoint.decoder_text_encoder
    # The casts hold because `_load_network` builds the class that the files' kind names.
    return CascadeComponents(
        prior=cast(WuerstchenPrior, _load_network(checkpoint.prior, placement, checkpoint.loras)),
        prior_text_encoder=cast(CLIPTextModel, _load_network(prior_text, placement)),
        prior_tokenizer=_load_tokenizer(checkpoint.prior_tokenizer, prior_text.config),
        decoder=cast(WuerstchenDiffNeXt, _load_network(checkpoint.decoder, placement)),
        decoder_text_encoder=cast(CLIPTextModel, _load_network(decoder_text, placement)),
        decoder_tokenizer=_load_tokenizer(checkpoint.decoder_tokenizer, decoder_text.config),
        vqgan=cast(PaellaVQModel, _load_network(checkpoint.vqgan, placement)),
        scaling=checkpoint.scaling,
        name=checkpoint.name,
        revision=checkpoint.revision,
    )


def load_prompt_components(checkpoint: ResolvedCheckpoint) -> PromptComponents:
    """What it takes to read prompts, as the page does: text encoders without weights. Raises CheckpointError."""
    prior_text, decoder_text = checkpoint.prior_text_encoder, checkpoint.decoder_text_encoder
    return PromptComponents(
        prior_text_encoder=cast(CLIPTextModel, _build_empty_network(prior_text)),
        prior_tokenizer=_load_tokenizer(checkpoint.prior_tokenizer, prior_text.config),
        decoder_text_encoder=cast(CLIPTextModel, _build_empty_network(decoder_text)),
        decoder_tokenizer=_load_tokenizer(checkpoint.decoder_tokenizer, decoder_text.config),
    )


def _load_network(files: NetworkFiles, placement: Placement, loras: Sequence[Lora] = ()) -> nn.Module:
    """One network in inference mode, with its weights and the LoRAs merged."""
    network = _build_empty_network(files)
    names = _map_tensor_names(files, network.state_dict())
    try:
        tensors = _read_tensors(files, names, placement, loras)
    except MemoryError:
        shorter = "--dtype float16 or " if placement.dtype == "float32" else ""
        other = f"{shorter}a smaller checkpoint" if placement.home == "cpu" else "--device cpu"
        raise PlacementError(
            f"{placement.home} ran out of memory while the {files.kind.name} was loaded: close other programs, or"
            f" give {other}."
        ) from None
    network.load_state_dict(tensors, strict=True, assign=True)
    prepare_network(network, placement)
    return network


@translate_device_errors
def _read_tensors(
    files: NetworkFiles, names: Mapping[str, str], placement: Placement, loras: Sequence[Lora]
) -> dict[str, Tensor]:
    """All tensors by their names in the network, converted. Raises MemoryError."""
    return {
        names[name]: _convert_tensor(tensor, placement, file.path, name, loras)
        for file in files.weights
        for name, tensor in _iterate_tensors(file, names)
    }


def prepare_network(network: nn.Module, placement: Placement) -> None:
    """Moves a network to the placement's home device and dtype and prepares it for inference, in place."""
    # torch's `to`, because diffusers' warns about an empty list of modules to keep in float32.
    nn.Module.to(network, device=placement.home, dtype=getattr(torch, placement.weights_dtype))
    network.eval().requires_grad_(False)
    set_attention_processors(network, placement.attention)


def _build_empty_network(files: NetworkFiles) -> nn.Module:
    """A network with its weights on torch's "meta" device, without memory."""
    options: dict[str, Any] = dict(files.config)
    try:
        # The decoder's __init__ initializes all its blocks once per module; skipping that takes a seventh of the time.
        with no_init_weights(), init_empty_weights():
            if files.kind.class_name == "CLIPTextModel":
                return CLIPTextModel(CLIPTextConfig(**options))
            return cast(nn.Module, _NETWORK_CLASSES[files.kind.class_name](**options))
    except (*_CONFIG_ERRORS, StrictDataclassError) as error:
        raise CheckpointError(
            f"The config.json of the {files.kind.name} in {files.source} describes a network that cannot be built:"
            " restore the file."
        ) from error


def _map_tensor_names(files: NetworkFiles, wanted: Mapping[str, Tensor]) -> dict[str, str]:
    """Names in the files -> names in the network. Raises CheckpointError unless they and their shapes match exactly."""
    stored = {name: tensor for file in files.weights for name, tensor in file.tensors.items()}
    names = {}
    for name in stored:
        if not name.endswith(_OBSOLETE_BUFFER_SUFFIX):
            # Until transformers 4, the tensors of a text model had the prefix "text_model.".
            bare = name.removeprefix("text_model.")
            names[name] = next((each for each in (name, bare, f"text_model.{name}") if each in wanted), name)
    where = f"{files.weights[0].path} and the config.json of the {files.kind.name} do not match:"
    remedy = f"{refetch_remedy(files.weights[0].path)}."
    unknown = [name for name, inside in names.items() if inside not in wanted]
    missing = sorted(set(wanted) - set(names.values()))
    if missing or unknown or len(set(names.values())) < len(names):
        counts = [
            f"{len(missing)} tensors are missing (such as {missing[0][:80]!r})" if missing else "",
            f"{len(unknown)} are unknown (such as {unknown[0][:80]!r})" if unknown else "",
        ]
        raise CheckpointError(f"{where} {' and '.join(filter(None, counts)) or 'tensors are duplicated'}; {remedy}")
    for name, inside in names.items():
        shape = tuple(wanted[inside].shape)
        if stored[name].shape != shape:
            raise CheckpointError(f"{where} {name[:80]!r} is {stored[name].shape} instead of {shape}; {remedy}")
        if (stored[name].dtype == "I64") == wanted[inside].is_floating_point():
            raise CheckpointError(f"{where} {name[:80]!r} is stored as {stored[name].dtype}; {remedy}")
    return names


def _iterate_tensors(file: SafetensorsFile, names: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a file that the network has, one at a time, backed by the mapped file."""
    try:
        with safe_open(file.path, framework="pt", device="cpu") as opened:
            for name in file.tensors:
                if name in names:
                    yield name, opened.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file.path} cannot be read: {refetch_remedy(file.path)}.") from error


def _convert_tensor(tensor: Tensor, placement: Placement, path: Path, name: str, loras: Sequence[Lora] = ()) -> Tensor:
    """A copy at home, floating-point tensors in the final dtype. Raises CheckpointError for NaN and infinity."""
    if not tensor.is_floating_point():
        return tensor.to(placement.home, copy=True)
    dtype = getattr(torch, placement.weights_dtype)
    if tensor.dtype == torch.float64 and placement.home == "mps":
        tensor = tensor.float()  # MPS has no float64
    # A GPU converts faster than the CPU, so the tensor is moved as stored. On the CPU it is copied even if its dtype is
    # right already, so that the mapped file can be replaced while the program runs.
    moved = merge_loras(tensor.to(placement.home), name, loras)
    final = moved.to(dtype, copy=moved is tensor)
    if not _is_finite(final):
        if _is_finite(moved):
            raise CheckpointError(
                f"{path} holds values too large for {placement.dtype} (in {name[:80]!r}): choose --dtype float32."
            )
        raise CheckpointError(f"{path} holds values that are not finite (in {name[:80]!r}): {refetch_remedy(path)}.")
    return final


def _is_finite(tensor: Tensor) -> bool:
    """Whether a tensor has no NaN or infinity, in one pass and without a temporary of its size."""
    smallest, largest = tensor.aminmax()
    return bool(smallest.isfinite() and largest.isfinite())


def _load_tokenizer(folder: Path, config: NetworkConfig) -> CLIPTokenizer:
    """A tokenizer whose vocabulary fits the text encoder. Raises CheckpointError."""
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
        largest_id = max(tokenizer.get_vocab().values())
        # Fails where the vocabulary lacks some byte and the token for unknown ones.
        tokenizer.backend_tokenizer.encode(_PROBE_TEXT)
    except Exception as error:  # the tokenizers library raises bare Exceptions for damaged files
        raise CheckpointError(f"The tokenizer in {folder} cannot be read: {refetch_remedy(folder)}.") from error
    if largest_id >= config["vocab_size"]:
        raise CheckpointError(
            f"The tokenizer in {folder} has more tokens than its text encoder ({largest_id + 1:,} and"
            f" {config['vocab_size']:,}): give a checkpoint whose files belong together."
        )
    if not isinstance(tokenizer.model_max_length, int) or tokenizer.model_max_length < 77:
        raise CheckpointError(
            f"The tokenizer in {folder} reads {tokenizer.model_max_length!r} tokens at a time;"
            " Würstchen needs 77: give another."
        )
    if tokenizer.model_max_length > config["max_position_embeddings"]:
        tokenizer.model_max_length = config["max_position_embeddings"]
    return cast(CLIPTokenizer, tokenizer)
