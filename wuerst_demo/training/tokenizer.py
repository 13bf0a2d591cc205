"""A small BPE tokenizer in CLIP's file format, trained on captions and an English word list.

Words of the captions become one token each; other English words become a few pieces, so that unknown words in a prompt
are still words.
"""

import json
from functools import cache
from itertools import chain
from pathlib import Path
from random import Random

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from wuerst_demo.errors import SetupError
from wuerst_demo.training.data.captions import caption
from wuerst_demo.training.data.scenes import sample_scene

WORD_LIST = Path("/usr/share/dict/words")
MAX_TOKENS = 77  #: Tokens that prompts are padded to, as in CLIP.
SPECIAL_TOKENS = ("<|startoftext|>", "<|endoftext|>")


@cache
def english_words() -> tuple[str, ...]:
    """Lower-case English words of 3 to 10 letters. Raises SetupError if no word list is installed."""
    if not WORD_LIST.exists():
        raise SetupError(f"Training needs an English word list at {WORD_LIST}: apt-get install wamerican.")
    words = WORD_LIST.read_text().split()
    return tuple(word for word in words if word.isalpha() and word.islower() and 2 < len(word) < 11)


def train_tokenizer(vocabulary: int, captions: int) -> CLIPTokenizer:
    """A tokenizer of at most `vocabulary` tokens. Its captions are always the same ones; the library breaks ties among
    equally frequent pieces in no fixed order, so that the numbers of rare tokens may differ from run to run."""
    rng = Random(0)
    bpe = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>"))
    # exactly what transformers' CLIPTokenizer does before its BPE
    spaces, words = Regex(r"\s+"), Regex(r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""")
    bpe.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(spaces, " "), normalizers.Lowercase()]
    )
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(letters) - len(SPECIAL_TOKENS),
        initial_alphabet=letters,
        end_of_word_suffix="</w>",
        show_progress=False,
    )

    texts = (caption(sample_scene(rng), rng) for _ in range(captions))
    # the word list counts once against many captions: it fills what is left of the vocabulary
    bpe.train_from_iterator(chain(texts, english_words()), trainer)
    merges = [tuple(merge) for merge in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in merges), *SPECIAL_TOKENS]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    # its annotation says str, its backend expects pairs
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)  # type: ignore[arg-type]
