"""The tokenizer: caption words are whole, unknown words are split, prompts are padded."""

import pytest

from wuerst_demo.training.tokenizer import MAX_TOKENS, WORD_LIST, train_tokenizer

pytestmark = pytest.mark.skipif(not WORD_LIST.exists(), reason="needs Debian's wamerican")


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(4096, captions=2000)


def test_words_of_captions_are_one_token(tokenizer):
    for word in ("cat", "grass", "background", "left"):
        assert len(tokenizer.tokenize(word)) == 1, word
    assert tokenizer.tokenize("CAT") == tokenizer.tokenize("cat")


def test_other_words_are_split_into_pieces_that_give_the_word(tokenizer):
    pieces = tokenizer.tokenize("zymurgy")
    assert len(pieces) > 1
    assert "".join(pieces).removesuffix("</w>") == "zymurgy"


def test_prompts_are_padded_and_framed_like_clips(tokenizer):
    ids = tokenizer("a cat", padding="max_length", truncation=True).input_ids
    assert len(ids) == MAX_TOKENS
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.pad_token_id)
    assert tokenizer.eos_token_id in ids
    assert len(tokenizer) <= 4096
