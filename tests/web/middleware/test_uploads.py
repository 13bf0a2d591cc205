"""Uploaded files: what is accepted, how long it stays, and that none is served."""

import asyncio
import json
import os
import time

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from tests.fakes import server
from tests.fakes.server import run_async, serve_page, wait_until
from tests.fakes.web import fake_context
from wuerst_demo.settings import Settings
from wuerst_demo.web.middleware import uploads
from wuerst_demo.web.middleware.temp_files import private_temp_folder
from wuerst_demo.web.middleware.uploads import (
    MAX_UPLOAD_BYTES,
    UPLOAD_TTL_S,
    folder_bytes,
    is_served,
    mark_served,
    upload_folder,
)


def upload(page, files=None, **more):
    return server.post(f"{page}gradio_api/upload", files=files or {"files": ("a.png", b"secret")}, **more)


@pytest.fixture
def empty_folder(instant_page):
    for parent, _, names in os.walk(upload_folder()):
        for name in names:
            os.unlink(os.path.join(parent, name))
    return upload_folder()


@pytest.mark.parametrize("name", ["a.png", "", "ä b.png", "../../a", "a\0b", "x" * 500, "\udce4.png"])
def test_an_uploaded_file_is_not_served(instant_page, empty_folder, name):
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\nsecret\r\n--b--\r\n'
    content = body % name.encode(errors="surrogateescape")
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = server.post(f"{instant_page}gradio_api/upload", content=content, headers=headers)
    assert answer.status_code == 200
    (path,) = answer.json()
    assert os.path.realpath(path).startswith(str(empty_folder))
    for route in ("file=", "file/"):
        assert server.get(f"{instant_page}gradio_api/{route}{path}").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\n\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="other"; filename="a"\r\n\r\na\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\na\r\n' * 2 + b"--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\na\r\n'
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"a" * 2**20 + b"\r\n--b--\r\n",
        b"--b--\r\n",
        b"",
        b"nothing",
    ],
    ids=["no file", "other name", "two files", "a field", "no part", "empty", "no form"],
)
def test_a_form_with_anything_but_one_file_is_rejected_and_leaves_nothing(instant_page, empty_folder, capfd, body):
    for upload_id in ("", "?upload_id=a"):
        headers = {"content-type": "multipart/form-data; boundary=b"}
        answer = server.post(f"{instant_page}gradio_api/upload{upload_id}", content=body, headers=headers)
        assert answer.status_code in (400, 422)
        assert len(answer.text) > 10
    assert folder_bytes(empty_folder) == 0
    assert "Traceback" not in "".join(capfd.readouterr())


def test_an_upload_that_is_too_large_leaves_nothing(instant_page, empty_folder):
    assert upload(instant_page, {"files": ("a", b"a" * (MAX_UPLOAD_BYTES + 2**17))}).status_code == 413
    assert folder_bytes(empty_folder) == 0


def test_an_upload_that_is_cut_off_leaves_nothing(instant_page, empty_folder, capfd):
    def cut_off():
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + b"a" * 2**20
        wait_until(lambda: folder_bytes(empty_folder) > 0)
        raise ConnectionAbortedError

    headers = {"content-type": "multipart/form-data; boundary=b", "content-length": "9999999"}
    with pytest.raises(ConnectionAbortedError):
        httpx.post(f"{instant_page}gradio_api/upload", content=cut_off(), headers=headers)
    wait_until(lambda: folder_bytes(empty_folder) == 0)
    assert "Traceback" not in "".join(capfd.readouterr())


def test_uploads_are_rejected_while_their_folder_is_full(instant_page, empty_folder, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_UPLOAD_FOLDER_BYTES", 5000)
    answers = [upload(instant_page, {"files": ("a", b"a" * 2000)}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 503]
    assert "try again" in answers[2].text
    assert folder_bytes(empty_folder) == 4000


def test_an_upload_without_room_for_its_declared_size_is_rejected_at_its_first_byte(empty_folder, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_UPLOAD_FOLDER_BYTES", 5000)
    headers = [(b"content-type", b"multipart/form-data; boundary=b"), (b"content-length", b"5001")]

    async def receive():
        raise AssertionError("nothing of the body is needed")

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers, "client": None}, receive)
    with pytest.raises(HTTPException) as error:
        run_async(uploads.receive_upload(request, str(empty_folder), 2**20, None))
    assert error.value.status_code == 503


def test_an_upload_of_undeclared_size_is_measured_at_its_first_chunk(empty_folder, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_UPLOAD_FOLDER_BYTES", 5000)
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'

    async def receive():
        return {"type": "http.request", "body": head + b"a" * 5000 + b"\r\n--b--\r\n", "more_body": False}

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers, "client": None}, receive)
    with pytest.raises(HTTPException) as error:
        run_async(uploads.receive_upload(request, str(empty_folder), 2**20, None))
    assert error.value.status_code == 503
    assert folder_bytes(empty_folder) == 0


def test_one_address_leaves_room_for_the_uploads_of_others(empty_folder, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_ADDRESS_BYTES", 5000)
    with serve_page(fake_context(), Settings(trusted_proxy=("127.0.0.1",))) as page:

        def send(address):
            files = {"files": ("a", b"a" * 2000)}
            return server.post(f"{page}gradio_api/upload", files=files, headers={"x-forwarded-for": address})

        assert [send("192.0.2.1").status_code for _ in range(3)] == [200, 200, 503]
        assert send("192.0.2.2").status_code == 200
        assert upload(page, {"files": ("a", b"a" * 6000)}).status_code == 200  # from an unknown address


def test_uploads_at_the_same_time_share_the_budget(empty_folder, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_UPLOAD_FOLDER_BYTES", 5 * 2**20)
    largest = []

    def request():
        head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        chunks = [head, *[b"a" * 2**20] * 4, b"\r\n--b--\r\n"]

        async def receive():
            await asyncio.sleep(0)  # the other uploads go on
            largest.append(folder_bytes(empty_folder))
            body = chunks.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(chunks)}

        headers = [(b"content-type", b"multipart/form-data; boundary=b")]
        return Request({"type": "http", "method": "POST", "headers": headers}, receive)

    async def upload_all():
        received = (uploads.receive_upload(request(), "", 2**30, None) for _ in range(6))
        return await asyncio.gather(*received, return_exceptions=True)

    answers = run_async(upload_all())
    assert {getattr(answer, "status_code", 200) for answer in answers} <= {200, 503}
    assert any(getattr(answer, "status_code", 200) == 503 for answer in answers)
    assert max(largest) <= (5 + len(answers)) * 2**20  # a MiB of each may be on its way


def test_an_upload_that_no_handler_takes_is_deleted_within_minutes(monkeypatch):
    with private_temp_folder(interval_s=0.01) as folder:
        old = folder / uploads.UPLOADS / "a" / "a.png"
        old.parent.mkdir(parents=True)
        old.write_bytes(b"a")
        served = folder / "b.png"
        served.write_bytes(b"b")
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + UPLOAD_TTL_S + 1)
        wait_until(lambda: not old.exists())
        assert served.exists()


def test_a_returned_picture_is_served_and_its_neighbour_is_not(instant_page):
    called = server.post(f"{instant_page}gradio_api/call/v2/generate", json={"prompt": "a cat"}).json()
    events = server.get(f"{instant_page}gradio_api/call/v2/generate/{called['event_id']}").text
    file = json.loads(events.rpartition("data: ")[2])[0][0]
    assert server.get(file["url"]).content[:4] == b"\x89PNG"
    beside = os.path.join(os.path.dirname(file["path"]), "beside.png")
    with open(beside, "wb") as other:
        other.write(b"other")
    assert server.get(f"{instant_page}gradio_api/file={beside}").status_code == 404


def test_only_the_newest_returned_files_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_SERVED_FILES", 2)
    monkeypatch.setattr(uploads, "_served", {})
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(b"")
        mark_served(str(path))
    assert [is_served(str(path)) for path in paths] == [False, True, True]
