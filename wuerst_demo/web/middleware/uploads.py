"""Files that clients upload: in a folder of their own, bounded, and deleted soon; never served.

Gradio puts them among the files it serves, keeps rejected ones, and holds form fields in memory without a limit.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from anyio import to_thread
from gradio import processing_utils
from gradio.route_utils import GradioMultiPartParser
from gradio.utils import abspath, get_upload_folder
from gradio_client.utils import strip_invalid_filename_characters  # type: ignore[import-untyped]
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from wuerst_demo.messages import message
from wuerst_demo.web.i18n.translate import translate_for
from wuerst_demo.web.middleware.client_address import client_address

MAX_UPLOAD_BYTES = 64 * 2**20
"""Largest file that can be dropped on the page: photos with settings, of which only the first part is read."""
UPLOAD_TOO_LARGE = message(
    "The file is larger than {most} MiB, the most that is accepted; choose another.", most=MAX_UPLOAD_BYTES // 2**20
)
UPLOADS_FULL_DETAIL = "Too much is being uploaded at the moment; try again in a few minutes."
UPLOAD_PATH = "/gradio_api/upload"
UPLOADS = "uploads"
"""Subfolder of the page's temporary folder."""
UPLOAD_TTL_S = 300.0
"""How long an upload lives that no handler takes; handlers delete what they take."""
_MEASURE_EVERY_BYTES = 2**20
"""Bytes of one upload after which the folder is measured again: by so much each upload may exceed the budget."""
MAX_UPLOAD_FOLDER_BYTES = 8 * MAX_UPLOAD_BYTES
MAX_ADDRESS_BYTES = 2 * MAX_UPLOAD_BYTES
"""What the uploads of one client address may take of the folder; see `client_address`."""
MAX_SERVED_FILES = 20_000
_served: dict[str, None] = {}
"""Paths that handlers returned, the oldest first."""


def upload_folder() -> Path:
    return Path(get_upload_folder()).resolve() / UPLOADS


def is_served(path: str) -> bool:
    """Whether a handler returned this file, and it exists."""
    try:
        return str(abspath(path)) in _served and Path(path).is_file()
    except (ValueError, OSError):
        return False


def mark_served(path: str) -> None:
    """Serve this file from now on, in place of the one that was returned longest ago."""
    path = str(abspath(path))
    _served.pop(path, None)
    _served[path] = None
    if len(_served) > MAX_SERVED_FILES:
        del _served[next(iter(_served))]


def folder_bytes(folder: Path) -> int:
    """Size of all files in a folder."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:  # deleted meanwhile
                continue
    return total


class _OneFileParser(GradioMultiPartParser):
    """Multipart parser of forms that hold one file, up to MAX_UPLOAD_BYTES, and nothing else."""

    file_bytes = 0

    def on_headers_finished(self) -> None:
        if self._current_files:
            raise HTTPException(422, "An upload holds one file and nothing else.")
        super().on_headers_finished()
        if self._current_part.file is None or self._current_part.field_name != "files":
            raise HTTPException(422, "An upload holds one file, named files, and nothing else.")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.file_bytes += end - start
        if self.file_bytes > MAX_UPLOAD_BYTES:
            raise HTTPException(413, UPLOAD_TOO_LARGE)
        super().on_part_data(data, start, end)

    def delete_files(self) -> None:
        for file in self._files_to_close_on_error:
            file.close()
            Path(file.name).unlink(missing_ok=True)


async def receive_upload(
    request: Request, upload_dir: str, max_file_size: float, upload_id: str | None, **_: object
) -> tuple[list[str], list[str], list[str]]:
    """Replacement of Gradio's `upload_fn`: the path of the file that a request uploads, and nothing left to copy.

    Raises HTTPException, and leaves nothing of a request that is rejected or cut off.
    """
    folder, address = upload_folder(), client_address(request)
    own = folder / sha256(address.encode()).hexdigest()[:32] if address else folder
    own.mkdir(parents=True, exist_ok=True)
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(422, "An upload is a form with one file (multipart/form-data).")

    def has_room(size: int) -> bool:
        full = folder_bytes(folder) + size > MAX_UPLOAD_FOLDER_BYTES
        return not (full or (address and folder_bytes(own) + size > MAX_ADDRESS_BYTES))

    async def check_room(size: int) -> None:
        if not await to_thread.run_sync(has_room, size):  # the folder may have thousands of files
            raise HTTPException(503, translate_for(request.headers, UPLOADS_FULL_DETAIL))

    async def stream() -> Any:
        declared = int(request.headers.get("content-length", 0))
        if declared:
            await check_room(declared)
        # Else measured at the first chunk; and again, since other uploads grow meanwhile.
        unmeasured = 0 if declared else _MEASURE_EVERY_BYTES
        async for chunk in request.stream():
            unmeasured += len(chunk)
            if unmeasured >= _MEASURE_EVERY_BYTES:
                unmeasured = 0
                await check_room(len(chunk))
            yield chunk

    parser = _OneFileParser(
        request.headers, stream(), upload_dir=own, max_file_size=max_file_size, max_fields=0, max_files=1
    )
    try:
        files = [item for _, item in (await parser.parse()).multi_items() if isinstance(item, UploadFile)]
        if not files:
            raise HTTPException(422, "The upload holds no file.")
        (file,) = files
        name = strip_invalid_filename_characters(Path((file.filename or "").replace("\0", "")).name)
        path = own / secrets.token_hex(16) / (name.encode(errors="replace").decode() or "file")
        path.parent.mkdir()
        await file.close()
        os.rename(str(file.file.name), path)
    except ClientDisconnect as error:
        parser.delete_files()
        raise HTTPException(400, "The upload was cut off.") from error
    except BaseException:
        parser.delete_files()
        raise
    return [str(path)], [], []


def record_served_files(move: Callable[..., Any] = processing_utils.async_move_files_to_cache) -> Callable[..., Any]:
    """Gradio's `async_move_files_to_cache`, which also remembers the files that handlers return, for `is_served`."""

    async def move_and_record(data: Any, block: Any, postprocess: bool = False, **options: Any) -> Any:
        moved = await move(data, block, postprocess, **options)
        if postprocess:
            _record(moved)
        return moved

    return move_and_record


def _record(value: Any) -> None:
    if isinstance(value, dict):
        if isinstance(value.get("path"), str) and isinstance(value.get("meta"), dict):
            mark_served(value["path"])
        for each in value.values():
            _record(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            _record(each)
