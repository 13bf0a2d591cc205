"""Resolution of checkpoint names and folders to verified files on disk.

Reads JSON, the front matter of a README and the headers of safetensors files, nothing else: code, pickles and
`custom_pipeline` in a repository are never opened. Mistakes are reported before torch is imported.

A cascade has a decoder repository (decoder/, vqgan/, text_encoder/, tokenizer/, model_index.json) and a prior
repository (prior/, text_encoder/, tokenizer/, model_index.json). A bare prior or a bare VQGAN has config.json and its
weights at the root; a bare prior uses text encoder and tokenizer of the prior that belongs to the decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wuerst_demo.checkpoints.capabilities import describe_checkpoint
from wuerst_demo.checkpoints.download_plan import DownloadPlan, read_json, read_small_file
from wuerst_demo.checkpoints.hub import Hub, HuggingFaceHub
from wuerst_demo.checkpoints.lora_file import find_loras
from wuerst_demo.checkpoints.lora_mapping import match_lora
from wuerst_demo.checkpoints.manifest import ResolvedCheckpoint
from wuerst_demo.checkpoints.network_config import (
    DECODER,
    DECODER_TEXT_ENCODER,
    PRIOR,
    PRIOR_TEXT_ENCODER,
    VQGAN,
    LatentScaling,
    NetworkKind,
    check_compatible,
)
from wuerst_demo.checkpoints.registry import DEFAULT_PRIOR
from wuerst_demo.checkpoints.repository import RepositoryListing, list_repository
from wuerst_demo.checkpoints.source import Source, parse_prior_from_card, parse_source
from wuerst_demo.errors import CheckpointError

_MODEL_INDEX = "model_index.json"
_SCHEDULER_CONFIG = "scheduler/scheduler_config.json"
_DEMO_JSON = "demo.json"
_MODEL_CARD = "README.md"
_MAX_LATENT_NUMBER = 1024
_MIN_LATENT_NUMBER = 1e-3
_NETWORK_KINDS = (PRIOR, PRIOR_TEXT_ENCODER, DECODER, DECODER_TEXT_ENCODER, VQGAN)
"""In the order of the parameters of `check_compatible`."""


def resolve_checkpoint(
    model: str | None,
    prior: str | None = None,
    vqgan: str | None = None,
    loras: Sequence[str] = (),
    hub: Hub | None = None,
    ready: Callable[[], object] = lambda: None,
) -> ResolvedCheckpoint:
    """Find, fetch where needed, and verify every file of a cascade.

    model, prior, vqgan: "owner/name", "owner/name@revision" or a folder. Default: the shipped cocktail, the prior that
        belongs to the model, the model's own VQGAN.
    loras: LoRAs for the prior, as in `lora_file`.
    ready: called once all small files and LoRAs are verified, before the first weights are fetched; it may raise.

    Raises CheckpointError.
    """
    hub = hub or HuggingFaceHub()
    candidates = find_loras(loras, hub)
    plan = DownloadPlan()
    decoder_repo = list_repository(parse_source(model), hub)
    _check_network_kind(decoder_repo, DECODER)
    plan.add_network(DECODER, decoder_repo, "decoder/")
    plan.add_network(DECODER_TEXT_ENCODER, decoder_repo, "text_encoder/")
    plan.add_files(decoder_repo, *decoder_repo.tokenizer_files())
    plan.add_files(decoder_repo, _MODEL_INDEX, _SCHEDULER_CONFIG, _DEMO_JSON, _MODEL_CARD)
    vqgan_repo = decoder_repo if vqgan is None else list_repository(parse_source(vqgan, "--vqgan"), hub)
    in_subfolder = vqgan is None or "vqgan/config.json" in vqgan_repo.names
    plan.add_network(VQGAN, vqgan_repo, "vqgan/" if in_subfolder else "")

    prior_source = parse_source(prior, "--prior") if prior is not None else _find_prior(decoder_repo, plan)
    prior_repo = list_repository(prior_source, hub)
    bare = "prior/config.json" not in prior_repo.names and "config.json" in prior_repo.names
    _check_network_kind(prior_repo, PRIOR)
    plan.add_network(PRIOR, prior_repo, "" if bare else "prior/")
    text_repo = list_repository(_find_prior(decoder_repo, plan), hub) if bare else prior_repo
    plan.add_network(PRIOR_TEXT_ENCODER, text_repo, "text_encoder/")
    plan.add_files(text_repo, *text_repo.tokenizer_files(), _MODEL_INDEX, _SCHEDULER_CONFIG)

    configs = {kind: plan.read_config(kind) for kind in _NETWORK_KINDS}
    check_compatible(*configs.values())
    fitted = tuple(match_lora(candidate, configs[PRIOR]) for candidate in candidates)
    scaling = LatentScaling(
        **_read_latent_numbers(text_repo, plan, "latent_mean", "latent_std", "resolution_multiple"),
        **_read_latent_numbers(decoder_repo, plan, "latent_dim_scale"),
    )
    for repository in (decoder_repo, text_repo):
        _check_noise_schedule(repository, plan)
        for name in repository.tokenizer_files():
            if name.endswith(".json"):
                read_json(plan.fetch_small_files(repository), name)
    chosen = [repository for given, repository in ((prior, prior_repo), (vqgan, vqgan_repo)) if given is not None]
    name = " + ".join([*(repository.source.name for repository in (decoder_repo, *chosen)), *map(str, fitted)])
    demo = read_json(plan.fetch_small_files(decoder_repo), _DEMO_JSON) if _DEMO_JSON in decoder_repo.names else {}
    info = describe_checkpoint(name, decoder_repo.source.name, configs[DECODER], configs[VQGAN], scaling, demo, fitted)
    ready()
    networks = {kind: plan.verify_network(kind, config) for kind, config in configs.items()}
    return ResolvedCheckpoint(
        prior=networks[PRIOR],
        prior_text_encoder=networks[PRIOR_TEXT_ENCODER],
        prior_tokenizer=plan.fetch_all(text_repo) / "tokenizer",
        decoder=networks[DECODER],
        decoder_text_encoder=networks[DECODER_TEXT_ENCODER],
        decoder_tokenizer=plan.fetch_all(decoder_repo) / "tokenizer",
        vqgan=networks[VQGAN],
        scaling=scaling,
        name=name,
        info=info,
        loras=fitted,
    )


def _find_prior(decoder_repo: RepositoryListing, plan: DownloadPlan) -> Source:
    """Prior that belongs to a decoder: the sibling folder `wuerstchen-prior`, else the one that its README names."""
    source = decoder_repo.source
    if source.folder is not None:
        sibling = source.folder.resolve().parent / "wuerstchen-prior"
        if sibling.is_dir():
            return Source(sibling.name, sibling)
    if _MODEL_CARD in decoder_repo.names:
        card = read_small_file(plan.fetch_small_files(decoder_repo) / _MODEL_CARD)
        return parse_prior_from_card(card.decode("utf-8", "replace"), f"{source}/{_MODEL_CARD}")
    raise CheckpointError(
        f"{source} does not say which prior it belongs to: give one with --prior, such as {DEFAULT_PRIOR}."
    )


def _check_network_kind(repository: RepositoryListing, kind: NetworkKind) -> None:
    """Raise CheckpointError if a prior was given for a decoder, or the other way round."""
    names, source = repository.names, repository.source
    for other, option in (("decoder", "--model"), ("prior", "--prior")):
        if f"{other}/config.json" in names and f"{kind.name}/config.json" not in names:
            raise CheckpointError(f"{source} is a {other}, not a {kind.name}: give it with {option}.")
    if kind is DECODER and "config.json" in names and "decoder/config.json" not in names:
        raise CheckpointError(
            f"{source} is a single network: give a prior with --prior, a VQGAN with --vqgan, and with --model"
            " the decoder's repository or folder."
        )


def _read_latent_numbers(repository: RepositoryListing, plan: DownloadPlan, *names: str) -> dict[str, float]:
    """Values of `LatentScaling` in model_index.json. Raises CheckpointError."""
    source = repository.source
    if _MODEL_INDEX not in repository.names:
        raise CheckpointError(f"{source} has no {_MODEL_INDEX}: fetch or copy it again, whole.")
    index = read_json(plan.fetch_small_files(repository), _MODEL_INDEX)
    numbers = {}
    for name in names:
        value = index.get(name, getattr(LatentScaling, name))
        if type(value) not in (int, float) or not _MIN_LATENT_NUMBER <= value <= _MAX_LATENT_NUMBER:
            raise CheckpointError(f"{source}/{_MODEL_INDEX} has an impossible '{name}': restore the file.")
        numbers[name] = float(value)
    return numbers


def _check_noise_schedule(repository: RepositoryListing, plan: DownloadPlan) -> None:
    """Raise CheckpointError for a noise schedule other than the one in `pipeline.noise_schedule`."""
    if _SCHEDULER_CONFIG not in repository.names:
        return
    config = read_json(plan.fetch_small_files(repository), _SCHEDULER_CONFIG)
    declared = config.get("_class_name", "DDPMWuerstchenScheduler"), config.get("s", 0.008), config.get("scaler", 1.0)
    if declared != ("DDPMWuerstchenScheduler", 0.008, 1.0):
        raise CheckpointError(
            f"{repository.source}/{_SCHEDULER_CONFIG} has another noise schedule than the defaults of"
            " DDPMWuerstchenScheduler, which alone is supported: give a Würstchen v2 checkpoint."
        )
