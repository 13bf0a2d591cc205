"""From names and folders to verified files on disk: which files make a cascade, and whether they are all sound.

Does not know torch or the network classes, so a mistake is answered before those are imported. Reads JSON, the front
matter of a README and the headers of safetensors files, nothing else: code, pickles and `custom_pipeline` in a
repository are never touched, let alone run.

A cascade has a decoder repository (decoder/, vqgan/, text_encoder/, tokenizer/, model_index.json) and a prior
repository (prior/, text_encoder/, tokenizer/, model_index.json). A bare prior or a bare VQGAN has config.json and its
weights at the root; a bare prior borrows text encoder and tokenizer from the prior that the decoder belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wuerst_demo.errors import CheckpointError
from wuerst_demo.model import configs, lora, lorafile
from wuerst_demo.model.configs import Kind
from wuerst_demo.model.hub import Hub, HuggingFaceHub
from wuerst_demo.model.known import DEFAULT_PRIOR
from wuerst_demo.model.located import Located, Part
from wuerst_demo.model.plan import Plan, read, read_json
from wuerst_demo.model.source import Source, parse, prior_of
from wuerst_demo.model.tree import Tree, open_tree

__all__ = ["Located", "Part", "locate"]

_INDEX = "model_index.json"
_SCHEDULER = "scheduler/scheduler_config.json"
_DEMO = "demo.json"
_CARD = "README.md"


def locate(
    model: str | None,
    prior: str | None = None,
    vqgan: str | None = None,
    loras: Sequence[str] = (),
    hub: Hub | None = None,
    ready: Callable[[], object] = lambda: None,
) -> Located:
    """Finds (and for Hub names fetches) every file of a cascade, and verifies it.

    `model`, `prior` and `vqgan` are "owner/name", "owner/name@revision" or a folder. Without them: the shipped
    cocktail, the prior that belongs to the model, the model's own VQGAN. `loras` are for the prior, written as
    lorafile.py says. The small files of all repositories, and the LoRAs, are fetched and checked before the first
    weights are; `ready` is asked in between, and may raise what it likes. Raises CheckpointError.
    """
    hub = hub or HuggingFaceHub()
    changes = lorafile.find(loras, hub)
    plan = Plan()
    decoder = open_tree(parse(model), hub)
    _refuse_another_kind(decoder, configs.DECODER)
    plan.add(configs.DECODER, decoder, "decoder/")
    plan.add(configs.DECODER_TEXT, decoder, "text_encoder/")
    plan.more(decoder, *decoder.tokenizer("tokenizer/"), _INDEX, _SCHEDULER, _DEMO, _CARD)
    repainter = decoder if vqgan is None else open_tree(parse(vqgan, "--vqgan"), hub)
    inside = vqgan is None or "vqgan/config.json" in repainter.names
    plan.add(configs.VQGAN, repainter, "vqgan/" if inside else "")

    found = open_tree(parse(prior, "--prior") if prior is not None else _own_prior(decoder, plan), hub)
    bare = "prior/config.json" not in found.names and "config.json" in found.names
    _refuse_another_kind(found, configs.PRIOR)
    plan.add(configs.PRIOR, found, "" if bare else "prior/")
    base = open_tree(_own_prior(decoder, plan), hub) if bare else found
    plan.add(configs.PRIOR_TEXT, base, "text_encoder/")
    plan.more(base, *base.tokenizer("tokenizer/"), _INDEX, _SCHEDULER)

    chosen = [tree for given, tree in ((prior, found), (vqgan, repainter)) if given is not None]
    options = {kind.called: plan.options(kind) for kind in _KINDS}
    configs.agree(*options.values())
    fitting = tuple(lora.fit(change, options[configs.PRIOR.called]) for change in changes)
    prior_numbers = _numbers(base, plan, "latent_mean", "latent_std", "resolution_multiple")
    decoder_numbers = _numbers(decoder, plan, "latent_dim_scale")
    for tree in (decoder, base):
        _check_schedule(tree, plan)
        for name in tree.tokenizer("tokenizer/"):
            if name.endswith(".json"):
                read_json(plan.small(tree), name)
    ready()
    prior_part, prior_text, decoder_part, decoder_text, vqgan_part = (
        plan.part(kind, options[kind.called]) for kind in _KINDS
    )
    return Located(
        prior=prior_part,
        prior_text_encoder=prior_text,
        prior_tokenizer=plan.folder(base) / "tokenizer",
        decoder=decoder_part,
        decoder_text_encoder=decoder_text,
        decoder_tokenizer=plan.folder(decoder) / "tokenizer",
        vqgan=vqgan_part,
        **prior_numbers,
        **decoder_numbers,
        name=" + ".join([*(tree.source.name for tree in (decoder, *chosen)), *map(str, fitting)]),
        demo=read_json(plan.small(decoder), _DEMO) if _DEMO in decoder.names else {},
        loras=fitting,
    )


_KINDS = (configs.PRIOR, configs.PRIOR_TEXT, configs.DECODER, configs.DECODER_TEXT, configs.VQGAN)
"""In the order that `configs.agree` takes them."""


def _own_prior(decoder: Tree, plan: Plan) -> Source:
    """The prior a decoder belongs to: for a folder the sibling `wuerstchen-prior`, else what its README names."""
    if decoder.source.folder is not None:
        sibling = decoder.source.folder.resolve().parent / "wuerstchen-prior"
        if sibling.is_dir():
            return Source(sibling.name, sibling)
    if _CARD in decoder.names:
        path = plan.small(decoder) / _CARD
        return prior_of(read(path).decode("utf-8", "replace"), f"{decoder.source}/{_CARD}")
    raise CheckpointError(
        f"{decoder.source} does not say which prior it belongs to: give one with --prior, such as {DEFAULT_PRIOR}."
    )


def _refuse_another_kind(tree: Tree, kind: Kind) -> None:
    """Raises CheckpointError where a prior was given for a decoder or the other way round."""
    for other, option in (("decoder", "--model"), ("prior", "--prior")):
        if f"{other}/config.json" in tree.names and f"{kind.called}/config.json" not in tree.names:
            raise CheckpointError(f"{tree.source} is a {other}, not a {kind.called}: give it with {option}.")
    if kind is configs.DECODER and "config.json" in tree.names and "decoder/config.json" not in tree.names:
        raise CheckpointError(
            f"{tree.source} is a single network: give a prior with --prior, a VQGAN with --vqgan, and with --model"
            " the decoder's repository or folder."
        )


def _numbers(tree: Tree, plan: Plan, *names: str) -> dict[str, float]:
    """The numbers of a model_index.json that tie latents together. Raises CheckpointError."""
    if _INDEX not in tree.names:
        raise CheckpointError(f"{tree.source} has no {_INDEX}: fetch or copy it again, whole.")
    index = read_json(plan.small(tree), _INDEX)
    numbers = {}
    for name in names:
        value = index.get(name, _PUBLISHED_NUMBERS[name])
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1024:
            raise CheckpointError(f"{tree.source}/{_INDEX} has an impossible '{name}': restore the file.")
        numbers[name] = float(value)
    return numbers


_PUBLISHED_NUMBERS = {"latent_mean": 42.0, "latent_std": 1.0, "resolution_multiple": 42.67, "latent_dim_scale": 10.67}


def _check_schedule(tree: Tree, plan: Plan) -> None:
    """Raises CheckpointError for a noise schedule that is not the one this demo computes."""
    if _SCHEDULER not in tree.names:
        return
    config = read_json(plan.small(tree), _SCHEDULER)
    told = config.get("_class_name", "DDPMWuerstchenScheduler"), config.get("s", 0.008), config.get("scaler", 1.0)
    if told != ("DDPMWuerstchenScheduler", 0.008, 1.0):
        raise CheckpointError(
            f"{tree.source}/{_SCHEDULER} asks for another noise schedule than DDPMWuerstchenScheduler's own, which"
            " this demo cannot draw with: give a Würstchen v2 checkpoint."
        )
