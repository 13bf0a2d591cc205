"""The Hugging Face Hub as a seam of two verbs, so that everything above it is tested without a network.

Does not know what a checkpoint is: it lists the files of a repository and fetches the ones it is told to. Every
failure of the Hub comes out as one CheckpointError with its remedy. What was fetched once works without a network.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wuerst_demo.errors import CheckpointError
from wuerst_demo.model.source import near


class Hub(Protocol):
    """Where repositories of checkpoints are listed and fetched. `revision` None is the repository's main branch."""

    def files(self, repository: str, revision: str | None) -> tuple[str, ...]:
        """The paths of all files in a repository, with forward slashes. Raises CheckpointError."""

    def fetch(self, repository: str, revision: str | None, names: Sequence[str]) -> Path:
        """Makes sure that these files are on disk and gives the folder that holds them. Raises CheckpointError."""


@dataclass(frozen=True)
class HuggingFaceHub:
    """The Hub itself, through huggingface_hub and its cache. The defaults are that library's own."""

    endpoint: str | None = None
    cache: Path | None = None

    def files(self, repository: str, revision: str | None) -> tuple[str, ...]:
        """As Hub.files. Without a network, the files of the cached snapshot, if there is one."""
        from huggingface_hub import HfApi

        try:
            # Not `list_repo_files`: that tries six times, for 23 seconds, before it says that there is no network.
            found = HfApi(endpoint=self.endpoint).model_info(repository, revision=revision, timeout=20)
            return tuple(sibling.rfilename for sibling in found.siblings or ())
        except _failures() as error:
            cached = self._cached(repository, revision)
            if cached is not None and (_unreachable(error) or _status(error) in _REFUSED):
                return tuple(path.relative_to(cached).as_posix() for path in cached.rglob("*") if path.is_file())
            raise explain(error, repository, revision) from error

    def fetch(self, repository: str, revision: str | None, names: Sequence[str]) -> Path:
        """As Hub.fetch. Files that are in the cache already are not fetched again."""
        from huggingface_hub import snapshot_download

        try:
            folder = snapshot_download(
                repository,
                revision=revision,
                endpoint=self.endpoint,
                cache_dir=self.cache,
                allow_patterns=list(names),
            )
        except _failures() as error:
            raise explain(error, repository, revision) from error
        return Path(folder)

    def _cached(self, repository: str, revision: str | None) -> Path | None:
        """The cached snapshot of a revision, or None."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            # Without its files: only some of a repository's were ever wanted, and it would miss the others.
            found = snapshot_download(
                repository, revision=revision, cache_dir=self.cache, local_files_only=True, ignore_patterns=["*"]
            )
        except LocalEntryNotFoundError:
            return None
        return Path(found)


def _failures() -> tuple[type[Exception], ...]:
    """What a call to huggingface_hub can fail with for reasons that are not ours.

    A failed connection is an exception of whichever HTTP library it uses, which has changed twice: the bases of its
    own HTTP error cover it in every version. RuntimeError is how its Rust transfer library reports.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return OSError, RuntimeError, *(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))


_REFUSED = (401, 403, 429)
"""Answers to who asks, not to what is asked for: a token that has expired, or too many questions."""


def _status(error: BaseException) -> int | None:
    """The answer's status, None where none came."""
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    return status


def _unreachable(error: BaseException) -> bool:
    """Whether no answer came at all, or one that says the Hub itself is in trouble."""
    status = _status(error)
    return status is None or status >= 500


def explain(error: BaseException, repository: str, revision: str | None) -> CheckpointError:
    """One line, with the remedy, for what went wrong between us and the Hub."""
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return CheckpointError(
            f"{repository} is gated: accept its terms on huggingface.co/{repository}, then run `hf auth login`."
        )
    if isinstance(error, RevisionNotFoundError):
        return CheckpointError(
            f"{repository} has no revision '{revision or 'main'}'; see its branches on huggingface.co/{repository},"
            " or leave out the part from @ on."
        )
    if isinstance(error, RepositoryNotFoundError):
        return CheckpointError(
            f"There is no {repository} on the Hugging Face Hub, or it is private{near(repository)}: check the spelling,"
            " or run `hf auth login`."
        )
    chain = f"{error} {error.__cause__}"
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in chain:
        return CheckpointError(
            f"The disk is full while fetching {repository}: free some space, or set HF_HOME to a folder that has it."
        )
    if isinstance(error, PermissionError):
        return CheckpointError(
            f"The cache for {repository} cannot be written ({error.filename}): make it writable, or set HF_HOME to a"
            " folder that is."
        )
    status = _status(error)
    if status in (401, 403):
        return CheckpointError(
            f"The Hugging Face Hub answered {status} for {repository}: it refuses the token that was sent; run"
            " `hf auth login` again, or `hf auth logout` and take HF_TOKEN away, since public checkpoints need none."
        )
    if status is not None:
        return CheckpointError(f"The Hugging Face Hub answered {status} for {repository}; try again in a while.")
    if isinstance(error, LocalEntryNotFoundError) or _unreachable(error):
        return CheckpointError(
            f"{repository} is not in the cache and the Hugging Face Hub cannot be reached{near(repository)}: check the"
            " network, or give folders; the shipped cocktail (no --model) needs no network."
        )
    return CheckpointError(f"{repository} cannot be fetched; try again.")
