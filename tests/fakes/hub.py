"""A Hub that serves folders, in memory or over HTTP."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from wuerst_demo.errors import CheckpointError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def files_of(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))


class FolderHub:
    """Serves folders as repositories, and records the fetched files."""

    def __init__(self, repositories: Mapping[str, Path], cache: Path) -> None:
        self.repositories = repositories
        self.cache = cache
        self.fetch_count = 0
        self.fetched: list[tuple[str, str | None, str]] = []

    def files(self, repository: str, revision: str | None) -> tuple[str, ...]:
        if repository not in self.repositories:
            raise CheckpointError(f"There is no {repository} on this Hub.")
        return files_of(self.repositories[repository])

    def fetch(self, repository: str, revision: str | None, names: Sequence[str]) -> Path:
        self.fetch_count += 1
        snapshot = self.cache / repository.replace("/", "--") / "snapshots" / COMMIT
        for name in names:
            self.fetched.append((repository, revision, name))
            (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.repositories[repository] / name, snapshot / name)
        return snapshot

    def fetched_from(self, repository: str) -> set[str]:
        return {name for each, _, name in self.fetched if each == repository}


@contextmanager
def served(
    repositories: Mapping[str, Path],
    errors: Mapping[str, tuple[int, str]] | None = None,
    breaks: Callable[[str], bool] = lambda path: False,
) -> Iterator[str]:
    """Address of a server with the part of the Hub's protocol that fetching a snapshot needs.

    Requests for a repository in `errors` get that status and X-Error-Code. Answers to paths that break end half way.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, with_body: bool) -> None:
            path = unquote(self.path.partition("?")[0]).removeprefix("/api/models/").strip("/")
            repository, rest = "/".join(path.split("/")[:2]), path.split("/")[2:]
            status, headers, body = self.found(repository, rest)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body[: len(body) // 2] if breaks(path) else body)

        def found(self, repository: str, rest: list[str]) -> tuple[int, dict[str, str], bytes]:
            if repository in (errors or {}):
                status, code = (errors or {})[repository]
                return status, {"X-Error-Code": code, "X-Error-Message": code}, b""
            folder = repositories.get(repository)
            if folder is None:
                return 404, {"X-Error-Code": "RepoNotFound"}, b""
            known = {"main", "v2", COMMIT}
            match rest:
                case ["revision" | "tree" | "resolve", revision, *_] if revision not in known:
                    return 404, {"X-Error-Code": "RevisionNotFound"}, b""
                case [] | ["revision", _]:
                    siblings = [{"rfilename": name} for name in files_of(folder)]
                    return self.json({"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings})
                case ["tree", _]:
                    return self.json([self.entry(folder, name) for name in files_of(folder)])
                case ["resolve", _, *name] if (folder / "/".join(name)).is_file():
                    body = (folder / "/".join(name)).read_bytes()
                    etag = hashlib.sha1(body, usedforsecurity=False).hexdigest()
                    return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'}, body
            return 404, {"X-Error-Code": "EntryNotFound"}, b""

        @staticmethod
        def entry(folder: Path, name: str) -> dict[str, object]:
            body = (folder / name).read_bytes()
            oid = hashlib.sha1(body, usedforsecurity=False).hexdigest()
            return {"type": "file", "path": name, "size": len(body), "oid": oid}

        @staticmethod
        def json(value: object) -> tuple[int, dict[str, str], bytes]:
            return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
