"""Weighted text embeddings: Compel's formula, over embeddings that were made with the padding mask.

For tokens with weights w, all in one row of the encoder's length,

    E(m)  the encoder's last hidden state, final layer norm applied, with the attention mask m
    Z     E of the empty prompt, with its padding masked
    W(m) = Z + w (E(m) - Z), token by token; start, end and padding have w = 1

    result = (W(mask) + sum_i c_i W(mask without passage i)) / (1 + sum_i c_i)

over the passages i of weight w_i < 1, with c_i = tan((1 - max(w_i, 1e-5)) pi / 2): at 0.5 the result lies half-way
between the prompt with the passage and the prompt without it. Longer texts take several rows, split where Compel splits
them. The formula is that of Compel's `EmbeddingsProvider`, which differs in two places: it makes Z without a mask, and
where several rows are allowed, it opens the mask at each row's last place when it hides a passage, padding or not.

Does not know syntax, prompts that are joined, caches or devices.
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
class Layout:
    """How a text lies in rows: its tokens with start and end marks, the rows, and the text after the first row."""

    tokens: int
    rows: int
    beyond: str


class MaskedEmbeddings(EmbeddingsProvider):  # type: ignore[misc]  # Compel has no types
    """Compel's provider of embeddings with every embedding masked. Results are (1, 77 k, D), float32, on `device`.

    `empty` gives Z, (1, 77, D). `alone` is entered whenever the tokenizer is used: tokenizers cannot be shared by
    threads. What one provider has encoded it does not encode again, so it should not live longer than one prompt.
    """

    def __init__(
        self,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        alone: AbstractContextManager[object],
        device: torch.device,
        empty: Callable[[], Tensor],
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
        self._room = self.max_token_count - 2
        self._alone = alone
        self._empty = empty
        self._encoded: dict[tuple[bytes, bytes], Tensor] = {}

    @property
    def empty_z(self) -> Tensor:
        """Z, as the parent class calls it."""
        return self._empty()

    def layout(self, texts: Sequence[str], cut: bool) -> Layout:
        """How the texts of one prompt's passages, one behind the other, are laid out; `cut` is for `literal`."""
        encoded = self._tokenize(texts)
        ids = [token for tokens in encoded["input_ids"] for token in tokens]
        begins = [(i, begin) for i, spans in enumerate(encoded["offset_mapping"]) for begin, _ in spans]
        rows = [len(ids)] if cut else list(self._rows(ids))
        first = self._room if cut else rows[0]
        beyond = ""
        if first < len(ids):
            i, begin = begins[first]
            beyond = texts[i][begin:] + "".join(texts[i + 1 :])
        return Layout(len(ids) + 2 * len(rows), len(rows), beyond)

    def literal(self, text: str) -> Tensor:
        """E of the text as it stands, cut to one row: what the encoder itself gives, to the last bit."""
        with self._alone:
            encoded = self.tokenizer(
                text, padding="max_length", truncation=True, max_length=self.max_token_count, return_tensors="pt"
            )
        return self._encode_token_ids_to_embeddings(
            encoded.input_ids.to(self.device), encoded.attention_mask.to(self.device)
        )

    def get_token_ids(self, texts: list[str], *args: object, **kwargs: object) -> list[list[int]]:
        """Token ids without marks, whatever else is asked: this class never needs them with marks."""
        ids: list[list[int]] = self._tokenize(texts)["input_ids"]
        return ids

    def get_embeddings_for_weighted_prompt_fragments(
        self,
        text_batch: list[list[str]],
        fragment_weights_batch: list[list[float]],
        should_return_tokens: bool = False,
        device: object = None,
    ) -> tuple[Tensor, Tensor] | Tensor:
        """The formula, for one prompt: a batch of one list of passages and one list of their weights."""
        (fragments,), (weights,) = text_batch, fragment_weights_batch
        ids, w, mask = self.get_token_ids_and_expand_weights(fragments, weights, self.device)
        # The same again with each passage's number in place of its weight says which place belongs to which passage.
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
        """Token ids without marks, and where in the text each begins and ends."""
        with self._alone:
            encoded: BatchEncoding = self.tokenizer(
                list(texts),
                add_special_tokens=False,
                truncation=False,
                padding=False,
                return_offsets_mapping=True,
                verbose=False,  # that a text is longer than a row is no mistake here
            )
        return encoded

    def _rows(self, ids: list[int]) -> Iterator[int]:
        """How many of the ids stand in each row; at least one row."""
        while True:
            length = self._find_next_best_split_point(ids, max_length=self._room)
            yield min(length, len(ids))
            ids = ids[length:]
            if not ids:
                return

    def _find_next_best_split_point(self, token_ids: list[int], max_length: int, *punctuation: object) -> int:
        # Only the next row decides; the parent class turns all that is left into text each time.
        point: int = super()._find_next_best_split_point(token_ids[: max_length + 1], max_length, *punctuation)
        return point

    def _encode_token_ids_to_embeddings(self, token_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """E of one row, in float32."""
        assert attention_mask is not None, "embeddings without the padding mask are of no use here"
        key = (token_ids.cpu().numpy().tobytes(), attention_mask.cpu().numpy().tobytes())
        if key not in self._encoded:
            output = self.text_encoder(token_ids, attention_mask=attention_mask)
            self._encoded[key] = output.last_hidden_state.float()
        return self._encoded[key]
