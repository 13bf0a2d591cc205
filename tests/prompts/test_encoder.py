"""The prompt encoder: the text encoder's embeddings bit for bit without weights, the formula with weights."""

from __future__ import annotations

import copy
import dataclasses
import math
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.prompts.example_prompts import HOSTILE_PROMPTS, INVALID_PROMPTS, PLAIN_PROMPTS, any_text, count_lines
from wuerst_demo.errors import PromptError
from wuerst_demo.prompts.encoder import EMBEDDING_CACHE_ENTRIES, MAX_PROMPT_CHUNKS, PromptEncoder, TensorCache

ENCODERS = ("prior", "decoder")
PHRASE = "a red cat on a mat,"  # its comma is a place to split; the small tokenizer does not know a full stop


@pytest.fixture(scope="session")
def encoder(components) -> PromptEncoder:
    return PromptEncoder(components)


def tokenizer_and_text_encoder(components, name):
    """The tokenizer and the text encoder."""
    return getattr(components, f"{name}_tokenizer"), getattr(components, f"{name}_text_encoder")


@torch.no_grad()
def encode_stock(components, name: str, text: str) -> torch.Tensor:
    """The embeddings (1, 77, D) of the stock pipelines."""
    tokenizer, text_encoder = tokenizer_and_text_encoder(components, name)
    inputs = tokenizer(text, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    return text_encoder(inputs.input_ids, attention_mask=inputs.attention_mask).last_hidden_state


@torch.no_grad()
def weighted_embedding(components, name: str, passages: list[tuple[str, float]]) -> torch.Tensor:
    """The weighted embedding of passages that fit into one chunk, in double precision."""
    tokenizer, text_encoder = tokenizer_and_text_encoder(components, name)
    ids, owners = [tokenizer.bos_token_id], [-1]
    for i, (text, _) in enumerate(passages):
        tokens = tokenizer(text, add_special_tokens=False).input_ids
        ids += tokens
        owners += [i] * len(tokens)
    ids += [tokenizer.eos_token_id]
    owners += [-1]
    used = len(ids)
    assert used <= 77
    ids += [tokenizer.pad_token_id] * (77 - used)
    owners += [-1] * (77 - used)
    empty = encode_stock(components, name, "").double()
    weights = torch.tensor([1.0 if owner < 0 else passages[owner][1] for owner in owners]).double()[:, None]

    def weighted(hidden: int | None) -> torch.Tensor:
        mask = [int(place < used and (hidden is None or owners[place] != hidden)) for place in range(77)]
        plain = text_encoder(torch.tensor([ids]), attention_mask=torch.tensor([mask])).last_hidden_state.double()
        return empty + weights * (plain - empty)

    total, count = weighted(None), 1.0
    for i, (_, weight) in enumerate(passages):
        if weight < 1:
            share = math.tan((1 - max(weight, 1e-5)) * math.pi / 2)
            total, count = total + share * weighted(i), count + share
    return (total / count).float()


def is_close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def count_passes(components, name: str = "prior"):
    """Components with a copied text encoder, and a list that grows with every forward pass of it."""
    text_encoder = copy.deepcopy(tokenizer_and_text_encoder(components, name)[1])
    passes: list[torch.Tensor] = []
    text_encoder.register_forward_pre_hook(
        lambda module, inputs, named: passes.append(named["attention_mask"]), with_kwargs=True
    )
    return dataclasses.replace(components, **{f"{name}_text_encoder": text_encoder}), passes


# ---------------------------------------------------------------------------------------------------- unweighted


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("weighting", [True, False])
def test_embeddings_equal_those_of_the_2023_libraries(encoder, checkpoint_2023, cases_2023, number, weighting):
    expected = np.load(checkpoint_2023 / f"case{number}.npz")["prior_text"]
    text = encoder.encode("prior", cases_2023[number]["prompt"], None, weighting).text.numpy()
    assert np.abs(text - expected).max() <= 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("weighting", [True, False])
@pytest.mark.parametrize("text", PLAIN_PROMPTS)
@pytest.mark.parametrize("name", ENCODERS)
def test_an_unweighted_prompt_equals_the_text_encoder_bit_for_bit(encoder, components, name, text, weighting):
    assert torch.equal(encoder.encode(name, text, None, weighting).text, encode_stock(components, name, text))


@pytest.mark.parametrize("text", ["(cat)1.5 (dog", '("a", "b").blend(1)', f"{PHRASE} " * 20])
def test_without_weighting_text_is_encoded_as_by_the_stock_pipelines(encoder, components, text):
    assert torch.equal(
        encoder.encode("decoder", text, None, weighting=False).text, encode_stock(components, "decoder", text)
    )


# ------------------------------------------------------------------------------------------------------ weighted


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(
    ("prompt", "passages"),
    [
        ("(cat)1.5", [("cat", 1.5)]),
        ("a (red)1.5 cat on a mat", [("a", 1), ("red", 1.5), ("cat on a mat", 1)]),
        ("a red cat++", [("a red", 1), ("cat", 1.1**2)]),
        ("a (red)0.5 cat", [("a", 1), ("red", 0.5), ("cat", 1)]),
        ("a red-- cat (on a (mat)2)0.6", [("a", 1), ("red", 0.9**2), ("cat", 1), ("on a", 0.6), ("mat", 1.2)]),
        ("a cat (on a mat)0", [("a cat", 1), ("on a mat", 0)]),
        ("(a cat)0.1", [("a cat", 0.1)]),
        (r"C\+\+ (cat)2", [("C++", 1), ("cat", 2)]),
        (r"\\(cat (dog)2", [("\\(cat", 1), ("dog", 2)]),
    ],
)
def test_a_weighted_prompt_equals_the_formula_on_masked_embeddings(encoder, components, name, prompt, passages):
    ours = encoder.encode(name, prompt, None, weighting=True).text
    assert is_close(ours, weighted_embedding(components, name, passages))


@pytest.mark.parametrize("prompt", ["a (red)1.5 cat++", "a (red)0.5 cat (on a (mat)2)0.7"])
def test_compel_agrees_once_its_empty_prompt_is_masked(encoder, components, prompt):
    from compel import Compel

    ours = encoder.encode("prior", prompt, None, weighting=True).text
    oracle = Compel(*tokenizer_and_text_encoder(components, "prior"), padding_attention_mask_value=0)
    assert not is_close(ours, oracle(prompt)), "Compel masks its empty prompt now: the fix can be removed"
    oracle.conditioning_provider._empty_z = encode_stock(components, "prior", "")
    assert is_close(ours, oracle(prompt))


@pytest.mark.parametrize("prompt", ["a cat", "(cat)1.5 on a mat--"])
def test_a_negative_prompt_is_encoded_like_a_prompt(encoder, prompt):
    embedded = encoder.encode("prior", "a dog", prompt, weighting=True)
    assert torch.equal(embedded.negative_text, encoder.encode("prior", prompt, None, weighting=True).text)


# ------------------------------------------------------------------------------------------------ several prompts


def encode_text(encoder: PromptEncoder, prompt: str) -> torch.Tensor:
    return encoder.encode("prior", prompt, None, weighting=True).text


@pytest.mark.parametrize(
    ("weights", "first", "second"),
    [
        ("0.7, 0.3", 0.7, 0.3),
        ("3, 1", 0.75, 0.25),
        ("", 0.5, 0.5),
        ("1.5, -0.5", 1.5, -0.5),
        ("1, 1, no_normalize", 1, 1),
    ],
)
def test_a_blend_is_the_weighted_mean_of_its_prompts(encoder, weights, first, second):
    blend = encode_text(encoder, f'("a (red)1.5 cat", "a dog").blend({weights})')
    assert is_close(blend, first * encode_text(encoder, "a (red)1.5 cat") + second * encode_text(encoder, "a dog"))


def test_blended_prompts_are_padded_to_one_length_with_the_empty_prompt(encoder, components):
    longer = encode_text(encoder, f"{PHRASE} " * 12)
    blend = encode_text(encoder, f'("{f"{PHRASE} " * 12}", "a dog").blend(1, 1)')
    padded = torch.cat([encode_text(encoder, "a dog"), encode_stock(components, "prior", "")], dim=1)
    assert longer.shape[1] == 154
    assert is_close(blend, (longer + padded) / 2)


def test_a_conjunction_concatenates_its_prompts(encoder):
    assert torch.equal(
        encode_text(encoder, '("a (red)1.5 cat", "a dog").and()'),
        torch.cat([encode_text(encoder, "a (red)1.5 cat"), encode_text(encoder, "a dog")], dim=1),
    )


def test_the_weights_of_a_conjunction_scale_away_from_the_empty_prompt(encoder, components):
    empty = encode_stock(components, "prior", "")
    cat, dog = encode_text(encoder, "a cat"), encode_text(encoder, "a dog")
    both = encode_text(encoder, '("a cat", "a dog").and(2, 0.5)')
    assert is_close(both, torch.cat([empty + 2 * (cat - empty), empty + 0.5 * (dog - empty)], dim=1))


# -------------------------------------------------------------------------------------------------- long prompts


def split_phrases(components, phrases: int) -> list[str]:
    """PHRASE so many times, split into chunks of as many whole phrases as fit."""
    fit = 75 // len(components.prior_tokenizer(PHRASE, add_special_tokens=False).input_ids)
    return [" ".join([PHRASE] * min(fit, phrases - begin)) for begin in range(0, phrases, fit)]


def test_a_long_prompt_is_split_between_phrases(encoder, components):
    expected = [encode_stock(components, "prior", chunk) for chunk in split_phrases(components, 25)]
    assert len(expected) > 2
    assert torch.equal(encode_text(encoder, " ".join([PHRASE] * 25)), torch.cat(expected, dim=1))


def test_a_weight_acts_in_the_chunk_of_its_word(encoder, components):
    *before, last = split_phrases(components, 12)
    ours = encode_text(encoder, " ".join([*before, last, "a (blue)1.5 bird (on a tree)0.5"]))
    theirs = weighted_embedding(components, "prior", [(f"{last} a", 1), ("blue", 1.5), ("bird", 1), ("on a tree", 0.5)])
    assert is_close(ours, torch.cat([*(encode_stock(components, "prior", chunk) for chunk in before), theirs], dim=1))


@pytest.mark.parametrize("turned", [False, True])
def test_the_shorter_of_prompt_and_negative_prompt_is_padded(encoder, components, turned):
    pair = (f"{PHRASE} " * 25, "a dog")
    embedded = encoder.encode("prior", *(pair[::-1] if turned else pair), weighting=True)
    long, short = (embedded.negative_text, embedded.text) if turned else (embedded.text, embedded.negative_text)
    assert torch.equal(long, encode_text(encoder, pair[0]))
    empties = [encode_stock(components, "prior", "")] * (long.shape[1] // 77 - 1)
    assert torch.equal(short, torch.cat([encode_stock(components, "prior", "a dog"), *empties], dim=1))


def test_without_guidance_the_text_keeps_its_own_length(encoder):
    embedded = encoder.encode("prior", "a dog", None, weighting=True)
    assert embedded.text.shape[:2] == (1, 77)
    assert embedded.negative_text is None


def test_text_of_too_many_chunks_is_rejected(encoder):
    with pytest.raises(PromptError, match="shorten"):
        encoder.encode("prior", "😀" * 2000, None, weighting=True)
    with pytest.raises(PromptError, match="shorten"):
        encoder.read("😀" * 2000, weighting=True)


def test_text_of_as_many_chunks_as_allowed_is_read(encoder, components):
    sign = "😀"
    tokens = len(components.prior_tokenizer(sign * 9, add_special_tokens=False).input_ids) // 9
    fits = 32 * 75 // tokens
    assert encoder.read(sign * fits, weighting=True).tokens == tokens * fits + 2 * 32
    with pytest.raises(PromptError, match="more than 32 chunks"):
        encoder.read(sign * (fits + 1), weighting=True)


# -------------------------------------------------------------------------------------------------------- report


def test_the_report_counts_tokens_with_start_and_end(encoder, components):
    report = encoder.read("a (red)1.5 cat++", weighting=True)
    assert report.tokens == len(components.prior_tokenizer("a red cat").input_ids)
    assert report.limit == 77
    assert report.beyond == ""
    assert [(word.text, round(word.weight, 2)) for word in report.words] == [("a ", 1), ("red ", 1.5), ("cat", 1.21)]


def test_the_report_names_the_text_after_the_first_chunk(encoder, components):
    first, second = split_phrases(components, 12)
    report = encoder.read(f"{first} {second}", weighting=True)
    assert report.beyond == second
    assert report.tokens == len(components.prior_tokenizer(f"{first} {second}").input_ids) + 2
    assert any("further chunks" in note and second[:20] in note for note in report.notes)


def test_the_report_names_what_is_cut_off_without_weighting(encoder, components):
    text = " ".join([PHRASE] * 12)
    report = encoder.read(text, weighting=False)
    first_chunk = text.removesuffix(report.beyond)
    assert 0 < len(report.beyond) < len(text)
    assert len(components.prior_tokenizer(first_chunk).input_ids) == 77
    assert torch.equal(
        encode_stock(components, "prior", first_chunk), encoder.encode("prior", text, None, weighting=False).text
    )
    assert any("Cut off" in note and report.beyond[:20] in note for note in report.notes)


def test_a_text_that_just_fits_has_nothing_beyond_the_limit(encoder):
    for weighting in (True, False):
        assert encoder.read("a " * 75, weighting).beyond == ""
        assert encoder.read("a " * 75, weighting).tokens == 77
        assert encoder.read("a " * 75 + "b", weighting).beyond == "b"


def test_a_conjunction_counts_every_prompt_and_a_blend_the_longest(encoder):
    assert encoder.read('("a cat", "a big dog").and()', weighting=True).tokens == (
        encoder.read("a cat", True).tokens + encoder.read("a big dog", True).tokens
    )
    assert encoder.read('("a cat", "a big dog").blend()', True).tokens == encoder.read("a big dog", True).tokens


def test_if_the_tokenizers_differ_the_larger_count_is_reported(components):
    both = PromptEncoder(components).read("a cat", weighting=True).tokens
    encoder = PromptEncoder(dataclasses.replace(components, decoder_tokenizer=Doubling(components.decoder_tokenizer)))
    assert encoder.read("a cat", weighting=True).tokens == 2 * (both - 2) + 2


class Doubling:
    """A tokenizer that sees every token twice."""

    def __init__(self, tokenizer) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def __call__(self, texts, **options):
        encoded = self._tokenizer(texts, **options)
        for key in ("input_ids", "offset_mapping"):
            encoded[key] = [[each for each in row for _ in range(2)] for row in encoded[key]]
        return encoded


@given(any_text)
@settings(deadline=None, max_examples=150)
def test_any_text_is_encoded_or_rejected_by_read_and_encode_alike(encoder, text):
    try:
        report = encoder.read(text, weighting=True)
    except PromptError:
        with pytest.raises(PromptError):
            encoder.encode("prior", text, None, weighting=True)
        return
    embedded = encoder.encode("prior", text, None, weighting=True).text
    assert embedded.isfinite().all()
    chunks = embedded.shape[1] // 77
    assert embedded.shape[:2] == (1, 77 * chunks)
    assert report.tokens <= embedded.shape[1]
    assert (chunks > 1) >= bool(report.beyond)


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=300))
@settings(deadline=None, max_examples=50)
def test_without_weighting_any_text_is_encoded(components, text):
    changed, passes = count_passes(components)
    encoder = PromptEncoder(changed)
    report = encoder.read(text, weighting=False)
    encoder.encode("prior", text, None, weighting=False)
    assert report.notes == () or report.beyond
    assert [int(mask.sum()) for mask in passes] == [min(report.tokens, 77)]


@pytest.mark.parametrize("text", PLAIN_PROMPTS)
def test_read_counts_the_tokens_that_encode_uses(components, text):
    changed, passes = count_passes(components)
    encoder = PromptEncoder(changed)
    encoder.encode("prior", text, None, weighting=True)
    assert [int(mask.sum()) for mask in passes] == [encoder.read(text, weighting=True).tokens]


@pytest.mark.parametrize("prompt", INVALID_PROMPTS)
def test_invalid_syntax_is_rejected_before_anything_is_encoded(components, prompt):
    changed, passes = count_passes(components)
    encoder = PromptEncoder(changed)
    with pytest.raises(PromptError):
        encoder.encode("prior", prompt, "", weighting=True)
    assert passes == []
    with pytest.raises(PromptError, match=r"^Negative prompt: "):
        encoder.encode("prior", "a cat", prompt, weighting=True)
    assert encoder.encode("prior", prompt, prompt, weighting=False).text.isfinite().all()


@pytest.mark.parametrize("weighting", [True, False])
@pytest.mark.parametrize("name", HOSTILE_PROMPTS)
def test_work_of_reading_grows_linearly_with_the_prompt(encoder, name, weighting):
    prompt = HOSTILE_PROMPTS[name]
    assert count_lines(lambda: encoder.read(prompt, weighting)) < 5_000 + 250 * len(prompt)


# -------------------------------------------------------------------------------------------------------- cache


def test_a_repeated_prompt_is_encoded_once(components):
    changed, passes = count_passes(components)
    encoder = PromptEncoder(changed)
    first = encoder.encode("prior", "a (red)1.5 cat", "", weighting=True)
    assert len(passes) == 2  # the prompt and the empty prompt, which is the negative prompt and the weight's origin
    again = encoder.encode("prior", "a (red)1.5 cat", "", weighting=True)
    assert len(passes) == 2
    assert torch.equal(again.text, first.text)
    encoder.encode("prior", "a dog", "", weighting=True)
    assert len(passes) == 3


def test_embeddings_are_cached_per_network_and_weighting(encoder, components):
    weighted, plain = (encoder.encode("prior", "a (red)1.5 cat", None, weighting).text for weighting in (True, False))
    assert not is_close(weighted, plain)
    for name in ENCODERS:
        assert torch.equal(
            encoder.encode(name, "a cat", None, weighting=True).text, encode_stock(components, name, "a cat")
        )


def test_the_least_recent_embeddings_leave_the_cache(components):
    changed, passes = count_passes(components)
    encoder = PromptEncoder(changed)
    for number in range(EMBEDDING_CACHE_ENTRIES + 1):
        encoder.encode("prior", f"cat {number}", None, weighting=True)
        encoder.encode("prior", "a dog", None, weighting=True)
    assert len(passes) == EMBEDDING_CACHE_ENTRIES + 2
    encoder.encode("prior", "cat 0", None, weighting=True)
    assert len(passes) == EMBEDDING_CACHE_ENTRIES + 3


def test_the_tensor_cache_stays_within_its_bytes():
    cache = TensorCache(max_entries=100, max_bytes=10 * 400)
    computed: list[int] = []

    def compute(number: int) -> torch.Tensor:
        computed.append(number)
        return torch.zeros(100)

    for number in [*range(20), 19, 10, 9]:
        cache.get(number, lambda number=number: compute(number))
    assert computed == [*range(20), 9]


def test_a_tensor_larger_than_the_cache_is_kept_until_the_next():
    cache = TensorCache(max_entries=100, max_bytes=100)
    large = cache.get("large", lambda: torch.zeros(100))
    assert cache.get("large", lambda: torch.ones(1)) is large
    assert cache.get("small", lambda: torch.ones(25)).nbytes == 100
    assert cache.get("large", lambda: torch.ones(1)) is not large


def test_the_encoder_passes_of_one_prompt_are_bounded(components):
    changed, passes = count_passes(components)
    encoder = PromptEncoder(changed)
    weak = " ".join(f"({PHRASE})0.{number}" for number in range(10, 34))
    encoder.encode("prior", weak, None, weighting=True)
    assert len(passes) <= 2 * (MAX_PROMPT_CHUNKS + 24)


# ------------------------------------------------------------------------------------------- threads, types, devices


def test_prompts_can_be_read_while_others_are_encoded(components):
    encoder = PromptEncoder(components)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for k in range(20):
                encoder.read(f"a (cat)1.5 {number} {k}", weighting=bool(k % 2))
                encoder.encode(ENCODERS[k % 2], f"a (dog)1.5 {number} {k}", "", weighting=bool(k % 2))
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_embeddings_have_the_dtype_of_the_text_encoder(components, encoder, dtype):
    half = PromptEncoder(
        dataclasses.replace(components, prior_text_encoder=copy.deepcopy(components.prior_text_encoder).to(dtype))
    )
    prompt = '("a (red)1.5 cat", "a (big)0.5 dog").blend(0.7, 0.3)'
    ours = half.encode("prior", prompt, "", weighting=True)
    assert ours.text.dtype == ours.negative_text.dtype == dtype
    reference = encoder.encode("prior", prompt, "", weighting=True)
    assert (ours.text.float() - reference.text).abs().max() < (0.02 if dtype == torch.float16 else 0.2)


def test_an_offloaded_text_encoder_gives_the_same_embeddings(components, encoder):
    from accelerate import cpu_offload

    text_encoder = copy.deepcopy(components.prior_text_encoder)
    cpu_offload(text_encoder, execution_device=torch.device("cpu"))
    assert text_encoder.device.type == "meta"
    offloaded = PromptEncoder(dataclasses.replace(components, prior_text_encoder=text_encoder))
    for prompt in ("a cat", "a (red)1.5 cat (on a mat)0.5", '("a cat", "a dog").and(1, 2)'):
        ours = offloaded.encode("prior", prompt, "", weighting=True).text
        assert ours.device.type == "cpu"
        assert torch.equal(ours, encoder.encode("prior", prompt, "", weighting=True).text)
