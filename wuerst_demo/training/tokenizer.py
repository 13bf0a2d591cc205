"""A small BPE tokenizer in CLIP's file format, trained on captions and on a general English word list.

Words of the captions become one token each; other English words fall into a few pieces, so that a word the cocktail has
never seen is still a word to it. Does not know networks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from wuerst_demo.errors import SetupError
from wuerst_demo.training.captions import caption
from wuerst_demo.training.scenes import sample

WORDS = Path("/usr/share/dict/words")
LENGTH = 77
"""Tokens a prompt is padded to, as CLIP has it."""


def english_words() -> list[str]:
    """Plain lower-case English words. Raises SetupError where no word list is installed."""
    if not WORDS.exists():
        raise SetupError(f"Training needs an English word list at {WORDS}: apt-get install wamerican.")
    return [word for word in WORDS.read_text().split() if word.isalpha() and word.islower() and 2 < len(word) < 11]


def train_tokenizer(vocabulary: int, captions: int = 20_000, seed: int = 0) -> CLIPTokenizer:
    """A tokenizer of at most `vocabulary` tokens, the same one for the same arguments."""
    rng = Random(seed)
    bpe = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>"))
    # exactly what transformers' CLIPTokenizer does before its BPE
    bpe.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(letters) - 2,
        initial_alphabet=letters,
        end_of_word_suffix="</w>",
        show_progress=False,
    )

    def texts() -> Iterator[str]:
        for _ in range(captions):
            yield caption(sample(rng), rng)
        # the word list counts once against many captions: it fills what is left of the vocabulary
        yield from english_words()

    bpe.train_from_iterator(texts(), trainer)
    merges = [tuple(merge) for merge in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *dict.fromkeys(a + b for a, b in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    # its annotation says str, its backend wants pairs
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=LENGTH)  # type: ignore[arg-type]
