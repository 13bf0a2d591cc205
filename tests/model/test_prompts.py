"""Embeddings of prompts: the encoder's own to the last bit where nothing is weighted, else what the formula gives."""

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

from tests.model.texts import ATTACKS, BOUND, BROKEN, TEXTS, anything, fastest
from wuerst_demo.errors import PromptError
from wuerst_demo.model.prompts import KEPT, ROWS, Kept, Prompts

ENCODERS = ("prior", "decoder")
PHRASE = "a red cat on a mat,"  # its comma is a place to split; the small tokenizer does not know a full stop


@pytest.fixture(scope="session")
def prompts(parts) -> Prompts:
    return Prompts(parts)


def encoder_of(parts, name):
    """The tokenizer and the text encoder."""
    return getattr(parts, f"{name}_tokenizer"), getattr(parts, f"{name}_text_encoder")


@torch.no_grad()
def stock(parts, name: str, text: str) -> torch.Tensor:
    """What the stock pipelines embed."""
    tokenizer, encoder = encoder_of(parts, name)
    inputs = tokenizer(text, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    return encoder(inputs.input_ids, attention_mask=inputs.attention_mask).last_hidden_state


@torch.no_grad()
def formula(parts, name: str, passages: list[tuple[str, float]]) -> torch.Tensor:
    """The weighted embedding of passages that fit in one row, written out in double precision."""
    tokenizer, encoder = encoder_of(parts, name)
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
    empty = stock(parts, name, "").double()
    weights = torch.tensor([1.0 if owner < 0 else passages[owner][1] for owner in owners]).double()[:, None]

    def weighted(hidden: int | None) -> torch.Tensor:
        mask = [int(place < used and (hidden is None or owners[place] != hidden)) for place in range(77)]
        plain = encoder(torch.tensor([ids]), attention_mask=torch.tensor([mask])).last_hidden_state.double()
        return empty + weights * (plain - empty)

    total, count = weighted(None), 1.0
    for i, (_, weight) in enumerate(passages):
        if weight < 1:
            share = math.tan((1 - max(weight, 1e-5)) * math.pi / 2)
            total, count = total + share * weighted(i), count + share
    return (total / count).float()


def alike(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def counted(parts, name: str = "prior"):
    """Parts with an encoder of their own, and the list that grows with every forward pass of it."""
    encoder = copy.deepcopy(encoder_of(parts, name)[1])
    passes: list[torch.Tensor] = []
    encoder.register_forward_pre_hook(
        lambda module, inputs, named: passes.append(named["attention_mask"]), with_kwargs=True
    )
    return dataclasses.replace(parts, **{f"{name}_text_encoder": encoder}), passes


# ---------------------------------------------------------------------------------------------------- unweighted


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("weighting", [True, False])
def test_it_embeds_what_the_2023_libraries_embedded(prompts, checkpoint_2023, cases_2023, number, weighting):
    expected = np.load(checkpoint_2023 / f"case{number}.npz")["prior_text"]
    text = prompts.embed("prior", cases_2023[number]["prompt"], None, weighting).text.numpy()
    assert np.abs(text - expected).max() <= 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("weighting", [True, False])
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ENCODERS)
def test_an_unweighted_prompt_is_what_the_encoder_itself_gives_to_the_last_bit(prompts, parts, name, text, weighting):
    assert torch.equal(prompts.embed(name, text, None, weighting).text, stock(parts, name, text))


@pytest.mark.parametrize("text", ["(cat)1.5 (dog", '("a", "b").blend(1)', f"{PHRASE} " * 20])
def test_without_weighting_any_text_is_what_the_stock_pipelines_embed(prompts, parts, text):
    assert torch.equal(prompts.embed("decoder", text, None, weighting=False).text, stock(parts, "decoder", text))


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
def test_a_weighted_prompt_is_what_the_formula_gives_from_masked_embeddings(prompts, parts, name, prompt, passages):
    ours = prompts.embed(name, prompt, None, weighting=True).text
    assert alike(ours, formula(parts, name, passages))


@pytest.mark.parametrize("prompt", ["a (red)1.5 cat++", "a (red)0.5 cat (on a (mat)2)0.7"])
def test_compel_agrees_once_its_empty_prompt_is_masked(prompts, parts, prompt):
    from compel import Compel

    ours = prompts.embed("prior", prompt, None, weighting=True).text
    oracle = Compel(*encoder_of(parts, "prior"), padding_attention_mask_value=0)
    assert not alike(ours, oracle(prompt)), "Compel masks its empty prompt now: the mending may go"
    oracle.conditioning_provider._empty_z = stock(parts, "prior", "")
    assert alike(ours, oracle(prompt))


@pytest.mark.parametrize("prompt", ["a cat", "(cat)1.5 on a mat--"])
def test_a_negative_prompt_is_read_and_embedded_in_the_same_way(prompts, prompt):
    embedded = prompts.embed("prior", "a dog", prompt, weighting=True)
    assert torch.equal(embedded.negative, prompts.embed("prior", prompt, None, weighting=True).text)


# ------------------------------------------------------------------------------------------------ several prompts


def single(prompts: Prompts, prompt: str) -> torch.Tensor:
    return prompts.embed("prior", prompt, None, weighting=True).text


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
def test_a_blend_is_the_weighted_mean_of_its_prompts(prompts, weights, first, second):
    blend = single(prompts, f'("a (red)1.5 cat", "a dog").blend({weights})')
    assert alike(blend, first * single(prompts, "a (red)1.5 cat") + second * single(prompts, "a dog"))


def test_prompts_of_different_length_are_padded_with_the_empty_prompt_before_they_are_blended(prompts, parts):
    longer = single(prompts, f"{PHRASE} " * 12)
    blend = single(prompts, f'("{f"{PHRASE} " * 12}", "a dog").blend(1, 1)')
    padded = torch.cat([single(prompts, "a dog"), stock(parts, "prior", "")], dim=1)
    assert longer.shape[1] == 154
    assert alike(blend, (longer + padded) / 2)


def test_a_conjunction_puts_its_prompts_side_by_side(prompts):
    assert torch.equal(
        single(prompts, '("a (red)1.5 cat", "a dog").and()'),
        torch.cat([single(prompts, "a (red)1.5 cat"), single(prompts, "a dog")], dim=1),
    )


def test_a_conjunctions_weights_pull_from_the_empty_prompt(prompts, parts):
    empty = stock(parts, "prior", "")
    cat, dog = single(prompts, "a cat"), single(prompts, "a dog")
    both = single(prompts, '("a cat", "a dog").and(2, 0.5)')
    assert alike(both, torch.cat([empty + 2 * (cat - empty), empty + 0.5 * (dog - empty)], dim=1))


# -------------------------------------------------------------------------------------------------- long prompts


def rows_of(parts, phrases: int) -> list[str]:
    """PHRASE so many times, cut into rows as a person would: as many whole phrases as fit."""
    fit = 75 // len(parts.prior_tokenizer(PHRASE, add_special_tokens=False).input_ids)
    return [" ".join([PHRASE] * min(fit, phrases - begin)) for begin in range(0, phrases, fit)]


def test_a_long_prompt_takes_rows_of_whole_phrases(prompts, parts):
    expected = [stock(parts, "prior", row) for row in rows_of(parts, 25)]
    assert len(expected) > 2
    assert torch.equal(single(prompts, " ".join([PHRASE] * 25)), torch.cat(expected, dim=1))


def test_a_weight_acts_in_the_row_where_its_word_stands(prompts, parts):
    *before, last = rows_of(parts, 12)
    ours = single(prompts, " ".join([*before, last, "a (blue)1.5 bird (on a tree)0.5"]))
    theirs = formula(parts, "prior", [(f"{last} a", 1), ("blue", 1.5), ("bird", 1), ("on a tree", 0.5)])
    assert alike(ours, torch.cat([*(stock(parts, "prior", row) for row in before), theirs], dim=1))


@pytest.mark.parametrize("turned", [False, True])
def test_the_shorter_of_prompt_and_negative_prompt_is_padded_with_the_empty_prompt(prompts, parts, turned):
    pair = (f"{PHRASE} " * 25, "a dog")
    embedded = prompts.embed("prior", *(pair[::-1] if turned else pair), weighting=True)
    long, short = (embedded.negative, embedded.text) if turned else (embedded.text, embedded.negative)
    assert torch.equal(long, single(prompts, pair[0]))
    empties = [stock(parts, "prior", "")] * (long.shape[1] // 77 - 1)
    assert torch.equal(short, torch.cat([stock(parts, "prior", "a dog"), *empties], dim=1))


def test_without_guidance_the_text_keeps_its_own_length(prompts):
    embedded = prompts.embed("prior", "a dog", None, weighting=True)
    assert embedded.text.shape[:2] == (1, 77)
    assert embedded.negative is None


def test_text_that_takes_too_many_rows_is_refused(prompts):
    with pytest.raises(PromptError, match="shorten"):
        prompts.embed("prior", "😀" * 2000, None, weighting=True)
    with pytest.raises(PromptError, match="shorten"):
        prompts.read("😀" * 2000, weighting=True)


# -------------------------------------------------------------------------------------------------------- reading


def test_the_report_counts_what_the_encoder_sees_with_its_marks(prompts, parts):
    reading = prompts.read("a (red)1.5 cat++", weighting=True)
    assert reading.tokens == len(parts.prior_tokenizer("a red cat").input_ids)
    assert reading.limit == 77
    assert reading.beyond == ""
    assert [(word.text, round(word.weight, 2)) for word in reading.words] == [("a ", 1), ("red ", 1.5), ("cat", 1.21)]


def test_the_report_names_what_lies_beyond_the_first_row(prompts, parts):
    first, second = rows_of(parts, 12)
    reading = prompts.read(f"{first} {second}", weighting=True)
    assert reading.beyond == second
    assert reading.tokens == len(parts.prior_tokenizer(f"{first} {second}").input_ids) + 2
    assert any("further rows" in note and second[:20] in note for note in reading.notes)


def test_the_report_names_what_is_cut_off_without_weighting(prompts, parts):
    text = " ".join([PHRASE] * 12)
    reading = prompts.read(text, weighting=False)
    kept = text.removesuffix(reading.beyond)
    assert 0 < len(reading.beyond) < len(text)
    assert len(parts.prior_tokenizer(kept).input_ids) == 77
    assert torch.equal(stock(parts, "prior", kept), prompts.embed("prior", text, None, weighting=False).text)
    assert any("Cut off" in note and reading.beyond[:20] in note for note in reading.notes)


def test_a_text_that_just_fits_is_not_beyond(prompts):
    for weighting in (True, False):
        assert prompts.read("a " * 75, weighting).beyond == ""
        assert prompts.read("a " * 75, weighting).tokens == 77
        assert prompts.read("a " * 75 + "b", weighting).beyond == "b"


def test_a_conjunction_counts_every_prompt_and_a_blend_the_longest(prompts):
    assert prompts.read('("a cat", "a big dog").and()', weighting=True).tokens == (
        prompts.read("a cat", True).tokens + prompts.read("a big dog", True).tokens
    )
    assert prompts.read('("a cat", "a big dog").blend()', True).tokens == prompts.read("a big dog", True).tokens


def test_if_the_tokenizers_differ_the_one_that_makes_more_counts(parts):
    both = Prompts(parts).read("a cat", weighting=True).tokens
    prompts = Prompts(dataclasses.replace(parts, decoder_tokenizer=Doubling(parts.decoder_tokenizer)))
    assert prompts.read("a cat", weighting=True).tokens == 2 * (both - 2) + 2


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


@given(anything)
@settings(deadline=None, max_examples=150)
def test_any_text_is_read_and_embedded_or_refused_by_both(prompts, text):
    try:
        reading = prompts.read(text, weighting=True)
    except PromptError:
        with pytest.raises(PromptError):
            prompts.embed("prior", text, None, weighting=True)
        return
    embedded = prompts.embed("prior", text, None, weighting=True).text
    assert embedded.isfinite().all()
    rows = embedded.shape[1] // 77
    assert embedded.shape[:2] == (1, 77 * rows)
    assert reading.tokens <= embedded.shape[1]
    assert (rows > 1) >= bool(reading.beyond)


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=300))
@settings(deadline=None, max_examples=50)
def test_without_weighting_any_text_is_read_and_embedded(parts, text):
    own, passes = counted(parts)
    prompts = Prompts(own)
    reading = prompts.read(text, weighting=False)
    prompts.embed("prior", text, None, weighting=False)
    assert reading.notes == () or reading.beyond
    assert [int(mask.sum()) for mask in passes] == [min(reading.tokens, 77)]


@pytest.mark.parametrize("text", TEXTS)
def test_read_counts_the_tokens_that_embed_uses(parts, text):
    own, passes = counted(parts)
    prompts = Prompts(own)
    prompts.embed("prior", text, None, weighting=True)
    assert [int(mask.sum()) for mask in passes] == [prompts.read(text, weighting=True).tokens]


@pytest.mark.parametrize("prompt", BROKEN)
def test_a_broken_expression_is_refused_before_anything_is_encoded_and_the_next_prompt_works(parts, prompt):
    own, passes = counted(parts)
    prompts = Prompts(own)
    with pytest.raises(PromptError):
        prompts.embed("prior", prompt, "", weighting=True)
    assert passes == []
    with pytest.raises(PromptError, match=r"^Negative prompt: "):
        prompts.embed("prior", "a cat", prompt, weighting=True)
    assert prompts.embed("prior", prompt, prompt, weighting=False).text.isfinite().all()


@pytest.mark.parametrize("name", ATTACKS)
def test_no_prompt_takes_long_to_read(prompts, name):
    assert fastest(lambda: prompts.read(ATTACKS[name], weighting=True)) < BOUND
    assert fastest(lambda: prompts.read(ATTACKS[name], weighting=False)) < BOUND


# -------------------------------------------------------------------------------------------------------- keeping


def test_a_repeated_prompt_is_embedded_once(parts):
    own, passes = counted(parts)
    prompts = Prompts(own)
    first = prompts.embed("prior", "a (red)1.5 cat", "", weighting=True)
    assert len(passes) == 2  # the prompt and the empty prompt, which is the negative prompt and the weight's origin
    again = prompts.embed("prior", "a (red)1.5 cat", "", weighting=True)
    assert len(passes) == 2
    assert torch.equal(again.text, first.text)
    prompts.embed("prior", "a dog", "", weighting=True)
    assert len(passes) == 3


def test_prior_and_decoder_and_weighting_on_and_off_do_not_share_embeddings(prompts, parts):
    weighted, plain = (prompts.embed("prior", "a (red)1.5 cat", None, weighting).text for weighting in (True, False))
    assert not alike(weighted, plain)
    for name in ENCODERS:
        assert torch.equal(prompts.embed(name, "a cat", None, weighting=True).text, stock(parts, name, "a cat"))


def test_prompts_that_did_not_come_again_are_forgotten(parts):
    own, passes = counted(parts)
    prompts = Prompts(own)
    for number in range(KEPT + 1):
        prompts.embed("prior", f"cat {number}", None, weighting=True)
        prompts.embed("prior", "a dog", None, weighting=True)
    assert len(passes) == KEPT + 2
    prompts.embed("prior", "cat 0", None, weighting=True)
    assert len(passes) == KEPT + 3


def test_what_is_kept_stays_within_its_bytes():
    kept = Kept(count=100, size=10 * 400)
    made: list[int] = []

    def make(number: int) -> torch.Tensor:
        made.append(number)
        return torch.zeros(100)

    for number in [*range(20), 19, 10, 9]:
        kept.get(number, lambda number=number: make(number))
    assert made == [*range(20), 9]


def test_the_encoder_passes_of_one_prompt_are_bounded(parts):
    own, passes = counted(parts)
    prompts = Prompts(own)
    weak = " ".join(f"({PHRASE})0.{number}" for number in range(10, 34))
    prompts.embed("prior", weak, None, weighting=True)
    assert len(passes) <= 2 * (ROWS + 24)


# ------------------------------------------------------------------------------------------- threads, types, devices


def test_pages_may_read_while_prompts_are_embedded(parts):
    prompts = Prompts(parts)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                prompts.read(f"a (cat)1.5 {number} {turn}", weighting=bool(turn % 2))
                prompts.embed(ENCODERS[turn % 2], f"a (dog)1.5 {number} {turn}", "", weighting=bool(turn % 2))
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
def test_embeddings_have_the_encoders_type_and_weights_lose_nothing_to_it(parts, prompts, dtype):
    short = Prompts(dataclasses.replace(parts, prior_text_encoder=copy.deepcopy(parts.prior_text_encoder).to(dtype)))
    prompt = '("a (red)1.5 cat", "a (big)0.5 dog").blend(0.7, 0.3)'
    ours = short.embed("prior", prompt, "", weighting=True)
    assert ours.text.dtype == ours.negative.dtype == dtype
    reference = prompts.embed("prior", prompt, "", weighting=True)
    assert (ours.text.float() - reference.text).abs().max() < (0.02 if dtype == torch.float16 else 0.2)


def test_an_encoder_whose_weights_are_offloaded_embeds_the_same(parts, prompts):
    from accelerate import cpu_offload

    encoder = copy.deepcopy(parts.prior_text_encoder)
    cpu_offload(encoder, execution_device=torch.device("cpu"))
    assert encoder.device.type == "meta"
    offloaded = Prompts(dataclasses.replace(parts, prior_text_encoder=encoder))
    for prompt in ("a cat", "a (red)1.5 cat (on a mat)0.5", '("a cat", "a dog").and(1, 2)'):
        ours = offloaded.embed("prior", prompt, "", weighting=True).text
        assert ours.device.type == "cpu"
        assert torch.equal(ours, prompts.embed("prior", prompt, "", weighting=True).text)
