"""Prompt encoder: text embeddings of prompts from both text encoders, and a report of how a prompt is read.

With weighting, a prompt is parsed (`parser`), weighted (`weighted_embeddings`) and joined by Compel, in as many chunks
of 77 tokens as it needs. Without, it is encoded as it is and truncated to one chunk, as in the stock pipelines.

`read` uses no text encoder, so the page may call it while the device's thread encodes.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from compel import Compel
from compel.prompt_parser import Blend, Conjunction, FlattenedPrompt, Fragment
from torch import Tensor

from wuerst_demo.errors import PromptError
from wuerst_demo.messages import message
from wuerst_demo.prompts.parser import ParsedPrompt, PromptReport, parse_prompt, shorten, split_words
from wuerst_demo.prompts.weighted_embeddings import MaskedEmbeddingsProvider, TokenLayout

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer

    from wuerst_demo.networks.components import CascadeComponents, PromptComponents

MAX_PROMPT_CHUNKS = 32
"""Chunks of one prompt, beyond which attention to the text takes longer than the image itself."""
EMBEDDING_CACHE_ENTRIES, EMBEDDING_CACHE_BYTES = 64, 64 * 2**20
"""Limits of the embedding cache for repeated prompts."""

EncoderName = Literal["prior", "decoder"]
ENCODER_NAMES: tuple[EncoderName, ...] = ("prior", "decoder")


@dataclass(frozen=True)
class PromptEmbeddings:
    """Text embeddings in the text encoder's dtype and on its device. Shared by the cache: do not modify."""

    text: Tensor
    """(1, 77 k, D), for k chunks."""
    negative_text: Tensor | None
    """In the shape of `text`; None without guidance."""


_TOKENIZER_LOCK = threading.Lock()
"""Tokenizers raise "Already borrowed" when two threads use them."""
if hasattr(os, "register_at_fork"):
    # A ZeroGPU Space generates in a forked process, where a lock that another thread held would never be released.
    os.register_at_fork(
        before=_TOKENIZER_LOCK.acquire, after_in_parent=_TOKENIZER_LOCK.release, after_in_child=_TOKENIZER_LOCK.release
    )


class PromptEncoder:
    """Reads and encodes prompts. Thread-safe."""

    def __init__(self, components: CascadeComponents | PromptComponents) -> None:
        """With `PromptComponents`, whose text encoders have no weights, only `read` works."""
        self._encoders: dict[EncoderName, tuple[CLIPTokenizer, CLIPTextModel]] = {
            "prior": (components.prior_tokenizer, components.prior_text_encoder),
            "decoder": (components.decoder_tokenizer, components.decoder_text_encoder),
        }
        self._lock = threading.Lock()
        self._cache = TensorCache(EMBEDDING_CACHE_ENTRIES, EMBEDDING_CACHE_BYTES)

    def read(self, prompt: str, weighting: bool) -> PromptReport:
        """The report of a prompt; if the two tokenizers differ, for the one with more tokens.

        Raises PromptError for invalid weighting syntax and for text that is too long.
        """
        parsed = parse_prompt(prompt, weighting)
        reports = [self._read_with(name, parsed, weighting) for name in ENCODER_NAMES]
        return max(reports, key=lambda report: report.tokens)

    @torch.inference_mode()
    def encode(self, encoder: EncoderName, prompt: str, negative: str | None, weighting: bool) -> PromptEmbeddings:
        """The embeddings of a prompt and its negative prompt, the shorter one padded with those of the empty prompt.

        `negative` is None without guidance. Raises PromptError as `read` does.
        """
        with self._lock:
            text = self._encode_text(encoder, prompt, weighting)
            if negative is None:
                return PromptEmbeddings(text, None)
            try:
                negative_text = self._encode_text(encoder, negative, weighting)
            except PromptError as error:
                raise PromptError("Negative prompt: {said}", said=error.message) from None
            longest = max(text.shape[1], negative_text.shape[1])
            return PromptEmbeddings(self._pad(encoder, text, longest), self._pad(encoder, negative_text, longest))

    @torch.inference_mode()
    def combine(
        self,
        encoder: EncoderName,
        first: PromptEmbeddings,
        last: PromptEmbeddings,
        function: Callable[[Tensor, Tensor], Tensor],
    ) -> PromptEmbeddings:
        """`function` of the embeddings of two texts in one length, with guidance in both or in none."""
        with self._lock:
            longest = max(first.text.shape[1], last.text.shape[1])
            text = function(*(self._pad(encoder, each.text, longest) for each in (first, last)))
            if first.negative_text is None or last.negative_text is None:
                return PromptEmbeddings(text, None)
            negatives = (self._pad(encoder, each, longest) for each in (first.negative_text, last.negative_text))
            return PromptEmbeddings(text, function(*negatives))

    def _encode_text(self, encoder: EncoderName, prompt: str, weighting: bool) -> Tensor:
        """(1, 77 k, D) of one prompt, cached. The caller holds the lock."""
        key = (encoder, prompt, weighting and prompt != "")
        return self._cache.get(key, lambda: self._compute_text(*key))

    def _compute_text(self, encoder: EncoderName, prompt: str, weighting: bool) -> Tensor:
        parsed = parse_prompt(prompt, weighting)
        provider = self._provider(encoder, _execution_device(self._encoders[encoder][1]))
        if not weighting:
            return provider.encode_literal(prompt).to(provider.text_encoder.dtype)
        _layout_prompts(provider, parsed, truncate=False)
        compel = Compel(provider.tokenizer, provider.text_encoder, device=provider.device)
        compel.conditioning_provider = provider
        embedding, _ = compel.build_conditioning_tensor_for_conjunction(_build_conjunction(parsed))
        result: Tensor = embedding.to(provider.text_encoder.dtype)
        return result

    def _read_with(self, encoder: EncoderName, parsed: ParsedPrompt, weighting: bool) -> PromptReport:
        provider = self._provider(encoder, torch.device("cpu"))  # it only tokenizes
        limit = provider.max_token_count
        layouts = _layout_prompts(provider, parsed, truncate=not weighting)
        count = max if parsed.join == "blend" else sum
        beyond = " ".join(layout.beyond for layout in layouts if layout.beyond)
        notes: list[str] = list(parsed.notes)
        if beyond:
            words = shorten(" ".join(beyond.split()), 60)
            if weighting:
                note = message(
                    "Longer than {limit} tokens: from '{words}' on it is encoded in further chunks.",
                    limit=limit,
                    words=words,
                )
            else:
                note = message(
                    "Cut off after {limit} tokens: from '{words}' on. Prompt weighting reads longer text.",
                    limit=limit,
                    words=words,
                )
            notes.append(note)
        tokens = count(layout.tokens for layout in layouts)
        return PromptReport(split_words(parsed), tokens, limit, beyond, tuple(notes))

    def _provider(self, encoder: EncoderName, device: torch.device) -> MaskedEmbeddingsProvider:
        """A new provider per prompt, because the encoder's device may change."""
        tokenizer, text_encoder = self._encoders[encoder]
        return MaskedEmbeddingsProvider(
            tokenizer,
            text_encoder,
            tokenizer_lock=_TOKENIZER_LOCK,
            device=device,
            empty_embedding=lambda: self._encode_text(encoder, "", False).float(),
        )

    def _pad(self, encoder: EncoderName, text: Tensor, length: int) -> Tensor:
        empty = self._encode_text(encoder, "", False)
        return torch.cat([text] + [empty] * ((length - text.shape[1]) // empty.shape[1]), dim=1)


class TensorCache:
    """Least-recently-used cache of tensors, limited by count and by bytes. Not thread-safe."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self._tensors: OrderedDict[Hashable, Tensor] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        if key not in self._tensors:
            self._tensors[key] = compute()
        self._tensors.move_to_end(key)
        tensor = self._tensors[key]
        while len(self._tensors) > self._max_entries or (len(self._tensors) > 1 and self._bytes() > self._max_bytes):
            self._tensors.popitem(last=False)
        return tensor

    def _bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._tensors.values())


def _layout_prompts(provider: MaskedEmbeddingsProvider, parsed: ParsedPrompt, truncate: bool) -> list[TokenLayout]:
    """The chunks of each prompt. Raises PromptError above MAX_PROMPT_CHUNKS in all."""
    layouts = [provider.layout([passage.text for passage in passages], truncate) for passages in parsed.prompts]
    if sum(layout.chunks for layout in layouts) > MAX_PROMPT_CHUNKS:
        tokens = sum(layout.tokens for layout in layouts)
        raise PromptError(
            "The text has {tokens:,} tokens, more than {chunks} chunks hold; shorten it, or turn prompt weighting off.",
            tokens=tokens,
            chunks=MAX_PROMPT_CHUNKS,
        )
    return layouts


def _build_conjunction(parsed: ParsedPrompt) -> Conjunction:
    """The parsed prompt as Compel's data structure."""
    prompts = []
    for passages in parsed.prompts:
        prompts.append(FlattenedPrompt())
        for passage in passages:
            fragment = Fragment("", passage.weight)
            fragment.text = passage.text  # the constructor would interpret backslashes
            prompts[-1].append(fragment)
    if parsed.join == "blend":
        return Conjunction([Blend(prompts, list(parsed.weights), parsed.normalize)])
    return Conjunction(prompts, list(parsed.weights))


def _execution_device(network: torch.nn.Module) -> torch.device:
    """The device of a network's computation, from accelerate's hooks where weights are offloaded to CPU or `meta`."""
    for module in network.modules():
        device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return next(network.parameters()).device
