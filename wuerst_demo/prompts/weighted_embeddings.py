"""Weighted text embeddings: Compel's formula, applied to embeddings with the padding masked.

For tokens with weights w, in one chunk of the encoder's length,

    E(m)  the encoder's last hidden state, final layer norm applied, with the attention mask m
    Z     E of the empty prompt, with its padding masked
    W(m) = Z + w (E(m) - Z), per token; start, end and padding have w = 1

    result = (W(mask) + sum_i c_i W(mask without passage i)) / (1 + sum_i c_i)

over the passages i of weight w_i < 1, with c_i = tan((1 - max(w_i, 1e-5)) pi / 2): at 0.5 the result lies half-way
between the prompt with the passage and the prompt without it. Longer texts take several chunks, split where Compel
splits them. Compel's `EmbeddingsProvider` differs in two places: it computes Z without a mask, and with several chunks
it unmasks the last position of each chunk when it hides a passage, padding or not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from compel import EmbeddingsProvider, SplitLongTextMode
from torch import Tensor

if TYPE_CHECKING:
    from transformers import BatchEncoding, CLIPTextModel, CLIPTokenizer


@dataclass(frozen=True)
class TokenLayout:
    """How a text is divided into chunks."""

    tokens: int
    """With the start and end tokens of every chunk."""
    chunks: int
    beyond: str
    """The text after the first chunk."""


class MaskedEmbeddingsProvider(EmbeddingsProvider):  # type: ignore[misc]  # Compel has no types
    """Compel's EmbeddingsProvider with every embedding masked. Results are (1, 77 k, D), float32, on `device`.

    `empty_embedding` returns Z (1, 77, D). `tokenizer_lock` is held around every use of the tokenizer. A provider
    caches everything that it encodes, so use it for one prompt only.
    """

    def __init__(
        self,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        tokenizer_lock: AbstractContextManager[object],
        device: torch.device,
        empty_embedding: Callable[[], Tensor],
    ) -> None:
        super().__init__(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            truncate=False,
            padding_attention_mask_value=0,
            device=device,
            split_long_text_mode=SplitLongTextMode.SENTENCES,
            model_max_length=min(tokenizer.model_max_length, text_encoder.config.max_position_embeddings),
        )
        self._chunk_tokens = self.max_token_count - 2
        self._tokenizer_lock = tokenizer_lock
        self._empty_embedding = empty_embedding
        self._tokenized: dict[tuple[str, ...], BatchEncoding] = {}
        self._encoded: dict[tuple[bytes, bytes], Tensor] = {}

    @property
    def empty_z(self) -> Tensor:
        """Z, by the name that the parent class uses."""
        return self._empty_embedding()

    def layout(self, texts: Sequence[str], truncate: bool) -> TokenLayout:
        """The chunks of one prompt, given as the texts of its passages; with `truncate`, as `encode_literal` does."""
        encoded = self._tokenize(texts)
        ids = [token for tokens in encoded["input_ids"] for token in tokens]
        begins = [(i, begin) for i, spans in enumerate(encoded["offset_mapping"]) for begin, _ in spans]
        chunks = [len(ids)] if truncate else list(self._chunk_lengths(ids))
        first = self._chunk_tokens if truncate else chunks[0]
        beyond = ""
        if first < len(ids):
            i, begin = begins[first]
            beyond = texts[i][begin:] + "".join(texts[i + 1 :])
        return TokenLayout(len(ids) + 2 * len(chunks), len(chunks), beyond)

    def encode_literal(self, text: str) -> Tensor:
        """E (1, 77, D) of a text truncated to one chunk, equal to the encoder's own result bit for bit."""
        with self._tokenizer_lock:
            encoded = self.tokenizer(
                text, padding="max_length", truncation=True, max_length=self.max_token_count, return_tensors="pt"
            )
        return self._encode_token_ids_to_embeddings(
            encoded.input_ids.to(self.device), encoded.attention_mask.to(self.device)
        )

    def get_token_ids(self, texts: list[str], *args: object, **kwargs: object) -> list[list[int]]:
        """Token ids without start and end tokens, whatever the other arguments ask for."""
        ids: list[list[int]] = self._tokenize(texts)["input_ids"]
        return ids

    def get_embeddings_for_weighted_prompt_fragments(
        self,
        text_batch: list[list[str]],
        fragment_weights_batch: list[list[float]],
        should_return_tokens: bool = False,
        device: object = None,
    ) -> tuple[Tensor, Tensor] | Tensor:
        """The formula for a batch of one prompt, as lists of passages and weights: (1, 77 k, D)."""
        (fragments,), (weights,) = text_batch, fragment_weights_batch
        ids, w, mask = self.get_token_ids_and_expand_weights(fragments, weights, self.device)
        # The same call with each passage's index as its weight gives the passage of every position.
        owners = self.get_token_ids_and_expand_weights(fragments, list(range(2, 2 + len(weights))), self.device)[1]
        shares = {i: math.tan((1 - max(weight, 1e-5)) * math.pi / 2) for i, weight in enumerate(weights) if weight < 1}
        total = 1 + sum(shares.values())
        result = self.build_weighted_embedding_tensor(ids, w, mask, self.device)
        if shares:
            result = result / total
        for i, share in shares.items():
            without = self.build_weighted_embedding_tensor(ids, w, mask * (owners != i + 2), self.device)
            result += without * (share / total)
        return (result, ids.unsqueeze(0)) if should_return_tokens else result

    def _tokenize(self, texts: Sequence[str]) -> BatchEncoding:
        """Token ids without start and end tokens, and their character spans."""
        key = tuple(texts)
        if key not in self._tokenized:
            with self._tokenizer_lock:
                self._tokenized[key] = self.tokenizer(
                    list(texts),
                    add_special_tokens=False,
                    truncation=False,
                    padding=False,
                    return_offsets_mapping=True,
                    verbose=False,  # texts longer than a chunk are expected
                )
        return self._tokenized[key]

    def _chunk_lengths(self, ids: list[int]) -> Iterator[int]:
        """The number of ids in each chunk; at least one chunk."""
        while True:
            length = self._find_next_best_split_point(ids, max_length=self._chunk_tokens)
            yield min(length, len(ids))
            ids = ids[length:]
            if not ids:
                return

    def _find_next_best_split_point(self, token_ids: list[int], max_length: int, *punctuation: object) -> int:
        # The next chunk decides; the parent class would decode all remaining tokens every time.
        point: int = super()._find_next_best_split_point(token_ids[: max_length + 1], max_length, *punctuation)
        return point

    def _encode_token_ids_to_embeddings(self, token_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """E (1, 77, D) of one chunk, float32."""
        assert attention_mask is not None, "embeddings require the padding mask"
        key = (token_ids.cpu().numpy().tobytes(), attention_mask.cpu().numpy().tobytes())
        if key not in self._encoded:
            output = self.text_encoder(token_ids, attention_mask=attention_mask)
            self._encoded[key] = output.last_hidden_state.float()
        return self._encoded[key]
