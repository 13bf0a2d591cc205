"""Prompts for both text encoders: what a person wrote becomes embeddings, and a report of how it was read.

With weighting, text is read as `reading` says, weighted as `weighting` says, joined by Compel, and takes as many rows
of 77 tokens as it needs. Without, it takes one row, character by character, as in the stock pipelines.

Reading needs no text encoder, so pages may read while the device's thread embeds. Does not know steps or guidance.
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
from wuerst_demo.model.reading import Parsed, Passage, Reading, Word, parse, words
from wuerst_demo.model.syntax import OFF
from wuerst_demo.model.weighting import Layout, MaskedEmbeddings

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer

    from wuerst_demo.model.parts import Parts

__all__ = ["Embedded", "Prompts", "Reading", "Word"]

ROWS = 32
"""The most rows one prompt may take: text that long takes longer to attend to than the picture itself."""
KEPT, KEPT_BYTES = 64, 64 * 2**20
"""How many embeddings are kept for prompts that come again, and how much memory they may take."""

EncoderName = Literal["prior", "decoder"]
ENCODERS: tuple[EncoderName, ...] = ("prior", "decoder")


@dataclass(frozen=True)
class Embedded:
    """`text` is (1, 77 k, D). `negative` has the same shape, or is None where guidance is off. Not to be written to.

    The k of prior and decoder are equal as long as their tokenizers are. Type and device are the text encoder's.
    """

    text: Tensor
    negative: Tensor | None


_TOKENIZING = threading.Lock()
"""A tokenizer that two threads use says "Already borrowed"."""
if hasattr(os, "register_at_fork"):
    # A Space on ZeroGPU draws in a forked process, which would wait for ever for a lock that another thread held.
    os.register_at_fork(
        before=_TOKENIZING.acquire, after_in_parent=_TOKENIZING.release, after_in_child=_TOKENIZING.release
    )


class Prompts:
    """Reads and embeds prompts with the tokenizers and text encoders of `parts`. Any thread may call it."""

    def __init__(self, parts: Parts) -> None:
        self._encoders: dict[EncoderName, tuple[CLIPTokenizer, CLIPTextModel]] = {
            "prior": (parts.prior_tokenizer, parts.prior_text_encoder),
            "decoder": (parts.decoder_tokenizer, parts.decoder_text_encoder),
        }
        self._embedding = threading.Lock()
        self._kept = Kept(KEPT, KEPT_BYTES)

    def read(self, prompt: str, weighting: bool) -> Reading:
        """How the prompt is read; if the two tokenizers differ, by the one that makes more of it.

        Raises PromptError, with the remedy, for weighting syntax that cannot be read and for text that is too long.
        """
        parsed = parse(prompt, weighting)
        return max((self._read(name, parsed, weighting) for name in ENCODERS), key=lambda reading: reading.tokens)

    @torch.inference_mode()
    def embed(self, encoder: EncoderName, prompt: str, negative: str | None, weighting: bool) -> Embedded:
        """The embeddings for a prompt and its negative prompt, the shorter one padded with the empty prompt's.

        `negative` is None where guidance is off: then the text keeps its own length. Raises PromptError as `read` does.
        """
        with self._embedding:
            text = self._text(encoder, prompt, weighting)
            if negative is None:
                return Embedded(text, None)
            try:
                against = self._text(encoder, negative, weighting)
            except PromptError as error:
                raise PromptError(f"Negative prompt: {error}") from None
            longest = max(text.shape[1], against.shape[1])
            return Embedded(self._padded(encoder, text, longest), self._padded(encoder, against, longest))

    def _text(self, encoder: EncoderName, prompt: str, weighting: bool) -> Tensor:
        """(1, 77 k, D) for one prompt, kept for the next time. The caller holds the lock."""
        key = (encoder, prompt, weighting and prompt != "")
        return self._kept.get(key, lambda: self._computed(*key))

    def _computed(self, encoder: EncoderName, prompt: str, weighting: bool) -> Tensor:
        parsed = parse(prompt, weighting)
        provider = self._provider(encoder)
        if not weighting:
            return provider.literal(prompt).to(provider.text_encoder.dtype)
        _layouts(provider, parsed, cut=False)
        compel = Compel(provider.tokenizer, provider.text_encoder, device=provider.device)
        compel.conditioning_provider = provider
        embedding, _ = compel.build_conditioning_tensor_for_conjunction(_conjunction(parsed))
        result: Tensor = embedding.to(provider.text_encoder.dtype)
        return result

    def _read(self, encoder: EncoderName, parsed: Parsed, weighting: bool) -> Reading:
        provider = self._provider(encoder)
        limit = provider.max_token_count
        layouts = _layouts(provider, parsed, cut=not weighting)
        count = max if parsed.join == "blend" else sum
        beyond = " ".join(layout.beyond for layout in layouts if layout.beyond)
        notes = list(parsed.notes)
        if beyond and weighting:
            notes.append(f"Longer than {limit} tokens: from '{_short(beyond)}' on it is read in further rows.")
        elif beyond:
            notes.append(
                f"Cut off after {limit} tokens: from '{_short(beyond)}' on. Prompt weighting reads longer text."
            )
        return Reading(words(parsed), count(layout.tokens for layout in layouts), limit, beyond, tuple(notes))

    def _provider(self, encoder: EncoderName) -> MaskedEmbeddings:
        """A fresh one for one prompt: where the encoder computes may change."""
        tokenizer, text_encoder = self._encoders[encoder]
        return MaskedEmbeddings(
            tokenizer,
            text_encoder,
            alone=_TOKENIZING,
            device=_device(text_encoder),
            empty=lambda: self._text(encoder, "", False).float(),
        )

    def _padded(self, encoder: EncoderName, text: Tensor, length: int) -> Tensor:
        empty = self._text(encoder, "", False)
        return torch.cat([text] + [empty] * ((length - text.shape[1]) // empty.shape[1]), dim=1)


class Kept:
    """The tensors used last, at most so many and so many bytes of them. Knows no threads."""

    def __init__(self, count: int, size: int) -> None:
        self._count, self._size = count, size
        self._tensors: OrderedDict[Hashable, Tensor] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        if key not in self._tensors:
            self._tensors[key] = compute()
        self._tensors.move_to_end(key)
        tensor = self._tensors[key]
        while len(self._tensors) > self._count or (len(self._tensors) > 1 and self._bytes() > self._size):
            self._tensors.popitem(last=False)
        return tensor

    def _bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._tensors.values())


def _layouts(provider: MaskedEmbeddings, parsed: Parsed, cut: bool) -> list[Layout]:
    """How each of the prompts is laid out. Raises PromptError if all together take more than ROWS rows."""
    layouts = [provider.layout([passage.text for passage in passages], cut) for passages in parsed.prompts]
    if sum(layout.rows for layout in layouts) > ROWS:
        tokens = sum(layout.tokens for layout in layouts)
        raise PromptError(f"The text makes {tokens:,} tokens, more than fit in {ROWS} rows; shorten it, {OFF}.")
    return layouts


def _conjunction(parsed: Parsed) -> Conjunction:
    """The same in Compel's words."""
    flat = [_flattened(passages) for passages in parsed.prompts]
    if parsed.join == "blend":
        return Conjunction([Blend(flat, list(parsed.weights), parsed.normalize)])
    return Conjunction(flat, list(parsed.weights))


def _flattened(passages: tuple[Passage, ...]) -> FlattenedPrompt:
    prompt = FlattenedPrompt()
    for passage in passages:
        fragment = Fragment("", passage.weight)
        fragment.text = passage.text  # the constructor would take backslashes for its own
        prompt.append(fragment)
    return prompt


def _device(network: torch.nn.Module) -> torch.device:
    """Where the network computes. Offloaded weights are on the CPU or nowhere (`meta`); accelerate's hooks know."""
    for module in network.modules():
        device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return next(network.parameters()).device


def _short(text: str) -> str:
    """The beginning of a text, on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else f"{flat[:59]}…"
