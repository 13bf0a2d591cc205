"""Hugging Face Hub client: list the files of a repository, fetch some of them.

Every failure is one CheckpointError with a remedy. Files fetched once are available without a network.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Protocol

from wuerst_demo.checkpoints.registry import suggest_known_name
from wuerst_demo.errors import CheckpointError

LIST_TIMEOUT_S = 20
OFFLINE_REASON_VARIABLE = "WUERST_OFFLINE_REASON"
"""Environment variable with the setting of the network that cannot be used, where the program keeps off it."""


class Hub(Protocol):
    """Interface of a Hub. `revision` None is the main branch."""

    def files(self, repository: str, revision: str | None) -> tuple[str, ...]:
        """Paths of all files of a repository, with forward slashes. Raises CheckpointError."""

    def fetch(self, repository: str, revision: str | None, names: Sequence[str]) -> Path:
        """Local folder that holds these files, fetched where needed. Raises CheckpointError."""


@dataclass(frozen=True)
class HuggingFaceHub:
    """The Hub through huggingface_hub and its cache."""

    endpoint: str | None = None
    """None is huggingface_hub's default, as for `cache`."""
    cache: Path | None = None

    def files(self, repository: str, revision: str | None) -> tuple[str, ...]:
        """As `Hub.files`. Without a network or access, the files of the cached snapshot, if there is one."""
        try:
            from huggingface_hub import HfApi

            # Not `list_repo_files`, which retries for 23 seconds without a network.
            info = HfApi(endpoint=self.endpoint).model_info(repository, revision=revision, timeout=LIST_TIMEOUT_S)
            return tuple(filter(_is_inside, (str(sibling.rfilename) for sibling in info.siblings or ())))
        except Exception as error:
            cached = self._cached(repository, revision) if _allows_cache(error) else None
            if cached is None:
                raise describe_hub_error(error, repository, revision) from error
            return tuple(path.relative_to(cached).as_posix() for path in cached.rglob("*") if path.is_file())

    def fetch(self, repository: str, revision: str | None, names: Sequence[str]) -> Path:
        """As `Hub.fetch`. Cached files are not fetched again."""
        try:
            from huggingface_hub import snapshot_download

            folder = snapshot_download(
                repository,
                revision=revision,
                endpoint=self.endpoint,
                cache_dir=self.cache,
                allow_patterns=[escape(name) for name in names],
            )
        except Exception as error:
            cached = self._cached(repository, revision) if _allows_cache(error) else None
            if cached is None or not all((cached / name).is_file() for name in names):
                raise describe_hub_error(error, repository, revision) from error
            return cached
        return Path(folder)

    def _cached(self, repository: str, revision: str | None) -> Path | None:
        """Folder of the cached snapshot of a revision, or None."""
        try:
            from huggingface_hub import snapshot_download

            # Only some files of a repository are ever fetched; asked for none, it does not miss the others.
            folder = snapshot_download(
                repository, revision=revision, cache_dir=self.cache, local_files_only=True, ignore_patterns=["*"]
            )
        except Exception:  # noqa: BLE001 - as in `files`
            return None
        return Path(folder)


def _is_inside(name: str) -> bool:
    """Whether a path that a Hub lists stays inside its repository's folder."""
    return (
        not PurePosixPath(name).is_absolute() and ".." not in name.split("/") and "\\" not in name and ":" not in name
    )


_ACCESS_STATUS_CODES = (401, 403, 429)
"""HTTP statuses that concern the client, not the repository: an expired token, or too many requests."""


def _http_status(error: BaseException) -> int | None:
    """HTTP status of the response, None if there was none."""
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    return status


def _is_http_error(error: BaseException) -> bool:
    """Whether an exception is of the HTTP library, which huggingface_hub has changed twice."""
    return any(each.__name__ == "HTTPError" for each in type(error).__mro__)


def _allows_cache(error: BaseException) -> bool:
    """Whether cached files may be used instead: for no answer, a server error, or a client without access."""
    status = _http_status(error)
    return status is None or status >= 500 or status in _ACCESS_STATUS_CODES


def describe_hub_error(error: BaseException, repository: str, revision: str | None) -> CheckpointError:
    """Message, in one line with the remedy, for a failure of huggingface_hub or of its HTTP library."""
    if reason := os.environ.get(OFFLINE_REASON_VARIABLE):
        return CheckpointError(f"{repository} is not complete in the cache, and {reason}.")
    if isinstance(error, UnicodeEncodeError):
        return CheckpointError(
            f"{repository} cannot be fetched with this token, which has characters other than ASCII: set HF_TOKEN"
            " again, or unset it, since public checkpoints need no token."
        )
    if isinstance(error, ImportError):
        return CheckpointError(
            f"{repository} cannot be fetched through this proxy: set ALL_PROXY, HTTPS_PROXY or HTTP_PROXY to one of http://."
        )
    if not isinstance(error, OSError | RuntimeError) and not _is_http_error(error):
        return CheckpointError(
            f"What answered for {repository} is not the Hugging Face Hub: log in to the network, and check HF_ENDPOINT,"
            " ALL_PROXY and HTTPS_PROXY."
        )
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
            f"There is no {repository} on the Hugging Face Hub, or it is private{suggest_known_name(repository)}: check"
            " the spelling, or run `hf auth login`."
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
    status = _http_status(error)
    if status in (401, 403):
        return CheckpointError(
            f"The Hugging Face Hub answered {status} for {repository}: the token was rejected; run `hf auth"
            " login` again, or `hf auth logout` and unset HF_TOKEN, since public checkpoints need no token."
        )
    if status is not None:
        return CheckpointError(f"The Hugging Face Hub answered {status} for {repository}; try again in a while.")
    if isinstance(error, LocalEntryNotFoundError) or status is None:
        return CheckpointError(
            f"{repository} is not in the cache and the Hugging Face Hub cannot be reached"
            f"{suggest_known_name(repository)}: check the network, or give folders; the shipped cocktail (no --model)"
            " needs no network."
        )
    return CheckpointError(f"{repository} cannot be fetched; try again.")
