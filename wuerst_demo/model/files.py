"""From names and folders to verified files on disk: which files make a cascade, and whether they are all sound.

Does not know torch or the network classes, so a mistake is answered before those are imported. Reads JSON, the front
matter of a README and the headers of safetensors files, nothing else: code, pickles and `custom_pipeline` in a
repository are never touched, let alone run.

A cascade has a decoder repository (decoder/, vqgan/, text_encoder/, tokenizer/, model_index.json) and a prior
repository (prior/, text_encoder/, tokenizer/, model_index.json). A bare prior or a bare VQGAN has config.json and its
weights at the root; a bare prior borrows text encoder and tokenizer from the prior that the decoder belongs to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wuerst_demo.errors import CheckpointError
from wuerst_demo.model import configs
from wuerst_demo.model.configs import Config, Kind
from wuerst_demo.model.hub import Hub, HuggingFaceHub
from wuerst_demo.model.known import DEFAULT_PRIOR
from wuerst_demo.model.source import Source, parse, prior_of
from wuerst_demo.model.tree import Tree, open_tree
from wuerst_demo.model.weights import DTYPES, WeightsFile, again, read_header

_INDEX = "model_index.json"
_SCHEDULER = "scheduler/scheduler_config.json"
_DEMO = "demo.json"
_CARD = "README.md"
_LONGEST = 16 * 2**20


@dataclass(frozen=True)
class Part:
    """One network's files: its options (complete, checked) and its weights (headers checked)."""

    kind: Kind
    source: Source
    revision: str
    config: Config
    weights: tuple[WeightsFile, ...]

    @property
    def parameters(self) -> int:
        """How many numbers its weights hold."""
        return sum(tensor.elements for file in self.weights for tensor in file.tensors.values())


@dataclass(frozen=True)
class Located:
    """A whole cascade on disk, verified as far as that goes without reading a tensor.

    The four numbers are those of `Parts`. `name` is fit for a page and a picture's metadata: the decoder's Hub name,
    the last part of its folder or "cocktail", then a prior or VQGAN that was chosen beside it. `demo` is what the
    decoder's folder says in demo.json (see known.py).
    """

    prior: Part
    prior_text_encoder: Part
    prior_tokenizer: Path
    decoder: Part
    decoder_text_encoder: Part
    decoder_tokenizer: Path
    vqgan: Part
    latent_mean: float
    latent_std: float
    resolution_multiple: float
    latent_dim_scale: float
    name: str
    demo: Mapping[str, Any] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        """The commit of the decoder's repository; "" for a folder."""
        return self.decoder.revision

    @property
    def parts(self) -> tuple[Part, ...]:
        """The five networks."""
        return self.prior, self.prior_text_encoder, self.decoder, self.decoder_text_encoder, self.vqgan

    @property
    def parameters(self) -> int:
        """How many numbers the five networks hold together."""
        return sum(part.parameters for part in self.parts)

    @property
    def stored_bytes(self) -> int:
        """How long their tensors are on disk."""
        return sum(tensor.bytes for part in self.parts for file in part.weights for tensor in file.tensors.values())

    @property
    def stored_dtypes(self) -> tuple[str, ...]:
        """The floating types they are stored in, in torch's words."""
        tensors = (tensor for part in self.parts for file in part.weights for tensor in file.tensors.values())
        return tuple(sorted({DTYPES[tensor.dtype] for tensor in tensors} - {"int64"}))


def locate(model: str | None, prior: str | None = None, vqgan: str | None = None, hub: Hub | None = None) -> Located:
    """Finds (and for Hub names fetches) every file of a cascade, and verifies it.

    `model`, `prior` and `vqgan` are "owner/name", "owner/name@revision" or a folder. Without them: the shipped
    cocktail, the prior that belongs to the model, the model's own VQGAN. The small files of all repositories are
    fetched and checked before the first weights are. Raises CheckpointError.
    """
    hub = hub or HuggingFaceHub()
    plan = _Plan()
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
    prior_numbers = _numbers(base, plan, "latent_mean", "latent_std", "resolution_multiple")
    decoder_numbers = _numbers(decoder, plan, "latent_dim_scale")
    for tree in (decoder, base):
        _check_schedule(tree, plan)
        for name in tree.tokenizer("tokenizer/"):
            if name.endswith(".json"):
                _json(plan.small(tree), name)
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
        name=" + ".join(tree.source.name for tree in (decoder, *chosen)),
        demo=_json(plan.small(decoder), _DEMO) if _DEMO in decoder.names else {},
    )


_KINDS = (configs.PRIOR, configs.PRIOR_TEXT, configs.DECODER, configs.DECODER_TEXT, configs.VQGAN)
"""In the order that `configs.agree` takes them."""


@dataclass(frozen=True)
class _Plan:
    """Which network comes from which tree, and which files of each tree that makes. Filled while locating."""

    networks: dict[str, tuple[Tree, str]] = field(default_factory=dict)
    files: dict[Source, set[str]] = field(default_factory=dict)
    folders: dict[tuple[Source, frozenset[str]], Path] = field(default_factory=dict)

    def add(self, kind: Kind, tree: Tree, prefix: str) -> None:
        self.networks[kind.called] = tree, prefix
        self.more(tree, *tree.network(kind, prefix))

    def more(self, tree: Tree, *names: str) -> None:
        self.files.setdefault(tree.source, set()).update(names)

    def small(self, tree: Tree) -> Path:
        """The folder with everything but the weights."""
        return self._fetched(tree, frozenset(name for name in self.files[tree.source] if not _is_weights(name)))

    def folder(self, tree: Tree) -> Path:
        """The folder with everything."""
        return self._fetched(tree, frozenset(self.files[tree.source]))

    def _fetched(self, tree: Tree, names: frozenset[str]) -> Path:
        # Kept, because asking the Hub takes a while even where it has nothing new to give.
        if (tree.source, names) not in self.folders:
            self.folders[tree.source, names] = tree.fetch(names)
        return self.folders[tree.source, names]

    def options(self, kind: Kind) -> Config:
        """The complete options of a network."""
        tree, prefix = self.networks[kind.called]
        name = f"{prefix}config.json"
        return configs.read(kind, _json(self.small(tree), name), f"{tree.source}/{name}")

    def part(self, kind: Kind, options: Config) -> Part:
        """A network with its weights on disk and verified."""
        tree, prefix = self.networks[kind.called]
        folder = self.folder(tree)
        names = tree.network(kind, prefix)
        index = [name for name in names if name.endswith(".index.json")]
        weights = tuple(read_header(folder / name) for name in names if _is_weights(name))
        if index:
            _check_index(_json(folder, index[0]), weights, folder / index[0])
        revision = folder.name if tree.source.folder is None and re.fullmatch("[0-9a-f]{40}", folder.name) else ""
        return Part(kind, tree.source, revision, options, weights)


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors")


def _own_prior(decoder: Tree, plan: _Plan) -> Source:
    """The prior a decoder belongs to: for a folder the sibling `wuerstchen-prior`, else what its README names."""
    if decoder.source.folder is not None:
        sibling = decoder.source.folder.resolve().parent / "wuerstchen-prior"
        if sibling.is_dir():
            return Source(sibling.name, sibling)
    if _CARD in decoder.names:
        path = plan.small(decoder) / _CARD
        return prior_of(_read(path).decode("utf-8", "replace"), f"{decoder.source}/{_CARD}")
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


def _read(path: Path) -> bytes:
    """A small file's bytes. Raises CheckpointError."""
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): restore it or mend its permissions."
        ) from error


def _json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object from a file. Raises CheckpointError."""
    path = folder / name
    try:
        value = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no readable JSON: {again(path)}.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object: {again(path)}.")
    return value


def _numbers(tree: Tree, plan: _Plan, *names: str) -> dict[str, float]:
    """The numbers of a model_index.json that tie latents together. Raises CheckpointError."""
    if _INDEX not in tree.names:
        raise CheckpointError(f"{tree.source} has no {_INDEX}: fetch or copy it again, whole.")
    index = _json(plan.small(tree), _INDEX)
    numbers = {}
    for name in names:
        value = index.get(name, _PUBLISHED_NUMBERS[name])
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1024:
            raise CheckpointError(f"{tree.source}/{_INDEX} has an impossible '{name}': restore the file.")
        numbers[name] = float(value)
    return numbers


_PUBLISHED_NUMBERS = {"latent_mean": 42.0, "latent_std": 1.0, "resolution_multiple": 42.67, "latent_dim_scale": 10.67}


def _check_schedule(tree: Tree, plan: _Plan) -> None:
    """Raises CheckpointError for a noise schedule that is not the one this demo computes."""
    if _SCHEDULER not in tree.names:
        return
    config = _json(plan.small(tree), _SCHEDULER)
    told = config.get("_class_name", "DDPMWuerstchenScheduler"), config.get("s", 0.008), config.get("scaler", 1.0)
    if told != ("DDPMWuerstchenScheduler", 0.008, 1.0):
        raise CheckpointError(
            f"{tree.source}/{_SCHEDULER} asks for another noise schedule than DDPMWuerstchenScheduler's own, which"
            " this demo cannot draw with: give a Würstchen v2 checkpoint."
        )


def _check_index(index: Mapping[str, Any], shards: tuple[WeightsFile, ...], path: Path) -> None:
    """Raises CheckpointError unless an index names exactly these shards, and each holds what the index says."""
    table = index.get("weight_map")
    if not isinstance(table, dict):
        raise CheckpointError(f"{path} has no weight_map: {again(path)}.")
    held = {name: shard.path.name for shard in shards for name in shard.tensors}
    for name, file in table.items():
        # The names in an index are only ever compared with files that were found in the folder itself, never opened.
        if held.get(name) != file:
            raise CheckpointError(
                f"{path} promises {str(name)[:80]} in {str(file)[:80]}, which lacks it: {again(path)}."
            )
    if len(held) != len(table):
        raise CheckpointError(f"{path} does not name all tensors of its shards: {again(path)}.")
