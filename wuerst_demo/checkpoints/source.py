"""Parsing of checkpoint names: "owner/name", "owner/name@revision", a folder, or nothing for the shipped cocktail."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from wuerst_demo.checkpoints.registry import COCKTAIL_NAME, PUBLISHED_NAME, suggest_known_name
from wuerst_demo.errors import CheckpointError
from wuerst_demo.paths import expand_user


def _cocktail_folder() -> Path:
    """Folder of the cocktail's decoder: inside the installed package, or in `assets/` of a clone."""
    packaged = Path(str(resources.files("wuerst_demo"))) / "cocktail"
    cloned = Path(__file__).resolve().parents[2] / "assets" / "cocktail"
    return (packaged if packaged.is_dir() else cloned) / "wuerstchen"


COCKTAIL_FOLDER = _cocktail_folder()
"""The shipped decoder; its prior is the sibling folder `wuerstchen-prior`."""
MAX_SOURCE_CHARS = 1000
_HUB_NAME_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
HUB_NAME_PATTERN = re.compile(
    rf"(?P<repository>{_HUB_NAME_PART}/{_HUB_NAME_PART})(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/+-]{{0,250}}))?"
)
_MAX_CARD_CHARS = 2**14
_PRIOR_IN_CARD = re.compile(
    r"^prior[ \t]*:(?:[ \t]*\n[ \t]*-[ \t]+|(?P<list>\s*\[\s*)|[ \t]+)"
    r"(?P<quote>[\"']?)(?P<name>[A-Za-z0-9._/@+-]+)(?P=quote)(?(list)\s*(?:,[^\]]*)?\]|[ \t]*(?:[ \t]#.*)?$)",
    re.MULTILINE,
)
"""The key `prior` of a front matter: a text, or the first entry of a list."""
_CACHE_FOLDER_PREFIX = "models--"
"""Beginning of a repository's folder in the Hub's cache, `models--owner--name`."""
_MAX_QUOTED_CHARS = 200
"""How much of an invalid name is repeated in an error message."""


@dataclass(frozen=True)
class Source:
    """Where a checkpoint comes from: a folder, or a repository on the Hub."""

    name: str
    """For users and image metadata: the Hub name, or the last part of the folder."""
    folder: Path | None = None
    repository: str = ""
    revision: str | None = None
    """Branch, tag or commit; None is the main branch."""

    def __str__(self) -> str:
        return str(self.folder) if self.folder is not None else self.name


def parse_source(text: str | None, option: str = "--model") -> Source:
    """Source that the user gave for `option`; None is the cocktail. Raises CheckpointError, with suggestions."""
    if text is None or text == COCKTAIL_NAME:
        if not COCKTAIL_FOLDER.is_dir():
            raise CheckpointError(
                f"The shipped cocktail is not at {COCKTAIL_FOLDER}: restore that folder from the repository, or give"
                " another checkpoint with --model."
            )
        return Source(COCKTAIL_NAME, COCKTAIL_FOLDER)
    if not text.strip() or not text.isprintable() or len(text) > MAX_SOURCE_CHARS:
        raise CheckpointError(f"{option} is empty or unreadable: give a folder or a Hub name such as {PUBLISHED_NAME}.")
    quoted = text[:_MAX_QUOTED_CHARS]
    try:
        path = expand_user(text)
        if path.is_dir():
            return _folder_source(path)
        if path.exists():
            raise CheckpointError(f"{text} is a file: give the folder that holds the whole checkpoint.")
    except ValueError as error:
        raise CheckpointError(f"{option} must be {error}.") from error
    except OSError as error:
        raise CheckpointError(f"{quoted} cannot be opened ({error.strerror}): give another folder.") from error
    hub = parse_hub_name(text)
    if hub and not Path(text.split("/")[0]).is_dir():
        return hub
    raise CheckpointError(
        f"{quoted} is neither a folder here nor a Hub name like {PUBLISHED_NAME}"
        f"{suggest_known_name(text)}: check the spelling; `info` lists the known checkpoints."
    )


def parse_hub_name(text: str) -> Source | None:
    """The source "owner/name" or "owner/name@revision"; None for a text that the Hub allows as no name."""
    hub = HUB_NAME_PATTERN.fullmatch(text)
    if hub is None or "--" in hub["repository"] or ".." in text or hub["repository"].endswith(".git"):
        return None
    return Source(hub["repository"], repository=hub["repository"], revision=hub["revision"])


def _folder_source(path: Path) -> Source:
    """The source of a folder. A repository in the Hub's cache is its newest snapshot. Raises CheckpointError."""
    folder = find_snapshot(path)
    resolved = folder.resolve()
    cached = resolved.parents[1].name if resolved.parent.name == "snapshots" else ""
    name = cached.removeprefix(_CACHE_FOLDER_PREFIX).replace("--", "/", 1)
    return Source(name if cached.startswith(_CACHE_FOLDER_PREFIX) else resolved.name, folder)


def find_snapshot(path: Path) -> Path:
    """The snapshot of the main branch in a cache folder `models--owner--name`; any other folder itself.

    Raises CheckpointError if the cache has no or several snapshots and does not say which one is the main branch.
    """
    if not path.resolve().name.startswith(_CACHE_FOLDER_PREFIX) or not (path / "snapshots").is_dir():
        return path
    main = path / "refs" / "main"
    commit = main.read_bytes()[:100].decode("ascii", "replace").strip() if main.is_file() else ""
    if re.fullmatch("[0-9a-f]{40}", commit) and (path / "snapshots" / commit).is_dir():
        return path / "snapshots" / commit
    snapshots = sorted(each for each in (path / "snapshots").iterdir() if each.is_dir())
    if len(snapshots) != 1:
        raise CheckpointError(f"{path} has {len(snapshots)} snapshots: give the one you mean, in its folder snapshots.")
    return snapshots[0]


def parse_prior_from_card(card: str, where: str) -> Source:
    """Prior named in the front matter of a README: `prior: owner/name`, or a list whose first entry counts.

    Only Hub names are accepted: a README cannot refer to folders of this machine. This one key is read and no other
    YAML, with its types, references and merges. `where` names the README in error messages. Raises CheckpointError.
    """
    remedy = "give the prior with --prior."
    lines = card[:_MAX_CARD_CHARS].lstrip("\ufeff").split("\n---", 1)
    if len(lines) < 2 or not lines[0].startswith("---"):
        raise CheckpointError(f"{where} has no front matter that names a prior: {remedy}")
    entries = list(_PRIOR_IN_CARD.finditer(lines[0][3:]))
    prior = parse_hub_name(entries[0]["name"]) if len(entries) == 1 else None
    if prior is None:
        raise CheckpointError(f"{where} does not name a prior as owner/name: {remedy}")
    return prior
