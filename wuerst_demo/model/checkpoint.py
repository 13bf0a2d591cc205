"""From verified files to networks: part by part, each tensor straight into its final type and place.

Reads config dictionaries, safetensors and tokenizer files; nothing of a checkpoint is executed, and no library's
`from_pretrained` sees the networks' folders. A network is laid out without memory, its tensor names and shapes are
compared with the files' headers, and only then are tensors read, one at a time, from the mapped file into memory of
their own. So nothing is ever left at its random start, and the memory that is not the files' own (RssAnon) peaks at
little more than the weights in their final type, which `python -m tests.peak_memory` measures.

Does not know where the files come from, nor which device is best.
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

from wuerst_demo.errors import CheckpointError, PlacementError
from wuerst_demo.model.attention import attend
from wuerst_demo.model.faults import telling
from wuerst_demo.model.merging import merged
from wuerst_demo.model.needs import needs
from wuerst_demo.model.parts import Parts
from wuerst_demo.model.placement import Placement, enough
from wuerst_demo.model.weights import again

if TYPE_CHECKING:
    from wuerst_demo.model.configs import Config
    from wuerst_demo.model.files import Located, Part
    from wuerst_demo.model.lora import Lora
    from wuerst_demo.model.weights import WeightsFile

_NETWORKS = {each.__name__: each for each in (WuerstchenPrior, WuerstchenDiffNeXt, PaellaVQModel)}
_LEFT_OVER = "embeddings.position_ids"
"""A buffer that transformers wrote into its files until 2023: 0, 1, 2, ..., made anew by the class."""


def load_parts(located: Located, placement: Placement) -> Parts:
    """The parts of a cascade where `placement` has them at home; under offload, `offload.arrange` comes next.

    Raises CheckpointError for files that do not hold what their configs ask for or hold no numbers, PlacementError
    where the memory is too small.
    """
    enough(placement, needs(located))
    prior_text, decoder_text = located.prior_text_encoder, located.decoder_text_encoder
    # Cast: `_network` builds the class that the part's kind names, and only that.
    return Parts(
        prior=cast(WuerstchenPrior, _network(located.prior, placement, located.loras)),
        prior_text_encoder=cast(CLIPTextModel, _network(prior_text, placement)),
        prior_tokenizer=_tokenizer(located.prior_tokenizer, prior_text.config),
        decoder=cast(WuerstchenDiffNeXt, _network(located.decoder, placement)),
        decoder_text_encoder=cast(CLIPTextModel, _network(decoder_text, placement)),
        decoder_tokenizer=_tokenizer(located.decoder_tokenizer, decoder_text.config),
        vqgan=cast(PaellaVQModel, _network(located.vqgan, placement)),
        latent_mean=located.latent_mean,
        latent_std=located.latent_std,
        resolution_multiple=located.resolution_multiple,
        latent_dim_scale=located.latent_dim_scale,
        name=located.name,
        revision=located.revision,
    )


def _network(part: Part, placement: Placement, loras: Sequence[Lora] = ()) -> nn.Module:
    """One network with its weights and what LoRAs add to them, settled."""
    network = _laid_out(part)
    names = _names(part, network.state_dict())
    try:
        tensors = _read(part, names, placement, loras)
    except MemoryError:
        shorter = "--dtype float16 or " if placement.dtype == "float32" else ""
        other = f"{shorter}a smaller checkpoint" if placement.home == "cpu" else "--device cpu"
        raise PlacementError(
            f"{placement.home} ran out of memory while the {part.kind.called} was loaded: close other programs, or"
            f" give {other}."
        ) from None
    network.load_state_dict(tensors, strict=True, assign=True)
    settle(network, placement)
    return network


@telling
def _read(part: Part, names: Mapping[str, str], placement: Placement, loras: Sequence[Lora]) -> dict[str, Tensor]:
    """The tensors of a part by their names in the network, at their place. MemoryError where there is none left."""
    return {
        names[name]: _converted(tensor, placement, file.path, name, loras)
        for file in part.weights
        for name, tensor in _tensors(file, names)
    }


def settle(network: nn.Module, placement: Placement) -> None:
    """Makes a network ready to compute as `placement` says, in place, at its home."""
    # torch's own `to`: the one of diffusers warns that nothing (an empty list) ought to stay in float32.
    nn.Module.to(network, device=placement.home, dtype=getattr(torch, placement.dtype))
    network.eval().requires_grad_(False)
    attend(network, placement.attention)


def _laid_out(part: Part) -> nn.Module:
    """The network without memory for its weights (on torch's "meta" device); what is no weight is real."""
    options: dict[str, Any] = dict(part.config)
    try:
        # The decoder's __init__ initialises all its blocks once for every module in it; without, it takes a seventh.
        with no_init_weights(), init_empty_weights():
            if part.kind.network == "CLIPTextModel":
                return CLIPTextModel(CLIPTextConfig(**options))
            return cast(nn.Module, _NETWORKS[part.kind.network](**options))
    except (ValueError, TypeError, LookupError, ArithmeticError, AssertionError, RuntimeError) as error:
        raise _unbuildable(part) from error
    except StrictDataclassError as error:
        raise _unbuildable(part) from error


def _unbuildable(part: Part) -> CheckpointError:
    return CheckpointError(
        f"The config.json of the {part.kind.called} in {part.source} asks for a network that cannot be built: restore"
        " the file."
    )


def _names(part: Part, wanted: Mapping[str, Tensor]) -> dict[str, str]:
    """Name in the files -> name in the network, which has to be one to one, with equal shapes. CheckpointError."""
    stored = {name: tensor for file in part.weights for name, tensor in file.tensors.items()}
    names = {}
    for name in stored:
        if not name.endswith(_LEFT_OVER):
            # Up to transformers 4 a text model's tensors stood under "text_model.".
            bare = name.removeprefix("text_model.")
            names[name] = next((each for each in (name, bare, f"text_model.{name}") if each in wanted), name)
    where = f"{part.weights[0].path} and the config.json of the {part.kind.called} do not belong together:"
    remedy = f"{again(part.weights[0].path)}."
    strange = [name for name, inside in names.items() if inside not in wanted]
    missing = sorted(set(wanted) - set(names.values()))
    if missing or strange or len(set(names.values())) < len(names):
        counts = [
            f"{len(missing)} tensors are missing (such as {missing[0][:80]!r})" if missing else "",
            f"{len(strange)} are unknown (such as {strange[0][:80]!r})" if strange else "",
        ]
        raise CheckpointError(f"{where} {' and '.join(filter(None, counts)) or 'some tensors come twice'}; {remedy}")
    for name, inside in names.items():
        shape = tuple(wanted[inside].shape)
        if stored[name].shape != shape:
            raise CheckpointError(f"{where} {name[:80]!r} is {stored[name].shape} instead of {shape}; {remedy}")
        if (stored[name].dtype == "I64") == wanted[inside].is_floating_point():
            raise CheckpointError(f"{where} {name[:80]!r} is stored as {stored[name].dtype}; {remedy}")
    return names


def _tensors(file: WeightsFile, names: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a file that the network takes, one at a time, backed by the mapped file."""
    try:
        with safe_open(file.path, framework="pt", device="cpu") as opened:
            for name in file.tensors:
                if name in names:
                    yield name, opened.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file.path} cannot be read: {again(file.path)}.") from error


def _converted(tensor: Tensor, placement: Placement, path: Path, name: str, loras: Sequence[Lora] = ()) -> Tensor:
    """A copy at its place and, if it is no counter, in its type. CheckpointError if it holds NaN or infinity."""
    if not tensor.is_floating_point():
        return tensor.to(placement.home, copy=True)
    dtype = getattr(torch, placement.dtype)
    if tensor.dtype == torch.float64 and placement.home == "mps":
        tensor = tensor.float()  # Apple's GPUs have no longer type
    # A GPU converts faster than the CPU, so the tensor goes there as it is stored. On the CPU it is copied even where
    # its type is right already: a copy lets go of the file, which may then be replaced while the program runs.
    there = merged(tensor.to(placement.home), name, loras)
    final = there.to(dtype, copy=there is tensor)
    if not _finite(final):
        if _finite(there):
            raise CheckpointError(
                f"{path} holds numbers too large for {placement.dtype} (in {name[:80]!r}): choose --dtype float32."
            )
        raise CheckpointError(f"{path} holds values that are no numbers (in {name[:80]!r}): {again(path)}.")
    return final


def _finite(tensor: Tensor) -> bool:
    """Whether a tensor is free of NaN and infinity, found in one pass and without a second tensor of its size."""
    least, most = tensor.aminmax()
    return bool(least.isfinite() and most.isfinite())


def _tokenizer(folder: Path, config: Config) -> CLIPTokenizer:
    """A tokenizer whose every token the text encoder knows. Raises CheckpointError."""
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
        words = max(tokenizer.get_vocab().values())
    except Exception as error:  # the tokenizers library raises bare Exceptions for damaged files
        raise CheckpointError(f"The tokenizer in {folder} cannot be read: {again(folder)}.") from error
    if words >= config["vocab_size"]:
        raise CheckpointError(
            f"The tokenizer in {folder} has more words than its text encoder ({words + 1:,} and"
            f" {config['vocab_size']:,}): give a checkpoint whose parts belong together."
        )
    if not isinstance(tokenizer.model_max_length, int) or tokenizer.model_max_length < 77:
        raise CheckpointError(
            f"The tokenizer in {folder} reads {tokenizer.model_max_length!r} tokens at a time;"
            " Würstchen needs 77: choose another."
        )
    if tokenizer.model_max_length > config["max_position_embeddings"]:
        tokenizer.model_max_length = config["max_position_embeddings"]
    return cast(CLIPTokenizer, tokenizer)
