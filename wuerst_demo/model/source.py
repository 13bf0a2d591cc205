"""What a person writes for a checkpoint: "owner/name", "owner/name@revision", a folder, or nothing for the cocktail.

Knows the shipped folder and how a README names its prior. Does not know what is inside a checkpoint, and asks no
network.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from wuerst_demo.errors import CheckpointError
from wuerst_demo.model.known import COCKTAIL, KNOWN
from wuerst_demo.paths import expanded

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "cocktail" / "wuerstchen"
"""The folder of the checkpoint that comes with this repository; its prior is the sibling folder `wuerstchen-prior`."""
_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
HUB = re.compile(rf"(?P<repository>{_WORD}/{_WORD})(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/+-]{{0,250}}))?")
_LONGEST_CARD = 2**14


@dataclass(frozen=True)
class Source:
    """Where a checkpoint comes from: a folder, or a repository on the Hub with a revision (None: its main branch).

    `name` is fit to be shown and kept in a picture's metadata: for a folder only its last part.
    """

    name: str
    folder: Path | None = None
    repository: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        return str(self.folder) if self.folder is not None else self.name


def parse(text: str | None, option: str = "--model") -> Source:
    """Reads what somebody wrote for `option`; None is the cocktail. Raises CheckpointError, with near matches."""
    if text is None or text == COCKTAIL:
        if not SHIPPED.is_dir():
            raise CheckpointError(
                f"The shipped cocktail is not at {SHIPPED}: restore that folder from the repository, or give another"
                " checkpoint with --model."
            )
        return Source(COCKTAIL, SHIPPED)
    if not text.strip() or not text.isprintable() or len(text) > 1000:
        raise CheckpointError(f"{option} is empty or unreadable: give a folder or a Hub name such as {_EXAMPLE}.")
    try:
        path = expanded(text)
        if path.is_dir():
            return Source(path.resolve().name, path)
        if path.exists():
            raise CheckpointError(f"{text} is a file: give the folder that holds the whole checkpoint.")
    except ValueError as error:
        raise CheckpointError(f"{option} must be {error}.") from error
    except OSError as error:
        raise CheckpointError(f"{text[:200]} cannot be opened ({error.strerror}): give another folder.") from error
    hub = HUB.fullmatch(text)
    if hub and "--" not in text and ".." not in text and not Path(text.split("/")[0]).is_dir():
        return Source(hub["repository"], repository=hub["repository"], revision=hub["revision"])
    raise CheckpointError(
        f"{text[:200]} is neither a folder here nor a Hub name like {_EXAMPLE}{near(text)}: check the spelling;"
        " `info` lists the known checkpoints."
    )


_EXAMPLE = "warp-ai/wuerstchen"


def near(text: str) -> str:
    """The words " (did you mean ...?)" for a name that is almost a known one, else ""."""
    close = {name.lower(): name for name in KNOWN}
    tails = {name.lower().rsplit("/", 1)[-1]: name for name in KNOWN}
    wanted = text.lower().partition("@")[0].rstrip("/")
    found = difflib.get_close_matches(wanted, close, 2, 0.75)
    found += difflib.get_close_matches(wanted.rsplit("/", 1)[-1], tails, 2, 0.75) if not found else []
    names = list(dict.fromkeys(close.get(name) or tails[name] for name in found))
    return f" (did you mean {' or '.join(names)}?)" if names and wanted not in close else ""


def prior_of(card: str, where: str) -> Source:
    """The prior that a README's front matter names (`prior: owner/name`, or a list of which the first counts).

    Only names on the Hub: a README cannot point at folders of this machine. Raises CheckpointError.
    """
    import yaml  # type: ignore[import-untyped]

    remedy = "give the prior with --prior."
    lines = card[:_LONGEST_CARD].lstrip("\ufeff").split("\n---", 1)
    if len(lines) < 2 or not lines[0].startswith("---"):
        raise CheckpointError(f"{where} has no front matter that names a prior: {remedy}")
    try:
        front = yaml.safe_load(lines[0][3:])
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise CheckpointError(f"{where} has a front matter that cannot be read: {remedy}") from error
    prior = front.get("prior") if isinstance(front, dict) else None
    name = prior[0] if isinstance(prior, list) and prior else prior
    hub = HUB.fullmatch(name) if isinstance(name, str) else None
    if hub is None:
        raise CheckpointError(f"{where} does not name a prior as owner/name: {remedy}")
    return Source(hub["repository"], repository=hub["repository"], revision=hub["revision"])
