"""Model files inside a zip file on a web server: brought whole, gone on with, and taken out."""

from __future__ import annotations

import http.server
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.errors import MachineError
from stages.model_files import catalogue, fetch
from stages.model_files.from_zip import download_zip
from stages.model_list import MODELS
from tests.support.machine.threaded_server import in_a_thread

CONFIG = b'{"model": "vits"}'


class Server(http.server.ThreadingHTTPServer):
    """Serves one file by ranges; the first answer breaks off in the middle."""

    data = b""
    breaks = 0
    asked: list[str]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-") or 0)
        body = self.server.data[start:]
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(self.server.data) - 1}/{len(self.server.data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server(("127.0.0.1", 0), Handler)
    one.asked = []
    with in_a_thread(one):
        yield one


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"tts_models/{name.replace('__', '.')}", data)
    return buffer.getvalue()


def point_at(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    """Let the catalogue name our server in place of the publisher's."""
    url = f"http://127.0.0.1:{server.server_port}/voice.zip"
    parts = MODELS["coqui-ljspeech"]
    mine = tuple(replace(part, files=tuple(replace(file, archive=url) for file in part.files)) for part in parts)
    monkeypatch.setitem(MODELS, "coqui-ljspeech", mine)


def test_a_broken_download_is_gone_on_with(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a server whose connection breaks in the middle of the file
    point_at(monkeypatch, server)
    server.data, server.breaks = zipped(model_file__pth=zipped(a=b"1" * 50_000), config__json=CONFIG), 1
    with pytest.raises(MachineError) as error:
        fetch.fetch_model_files(MODELS["coqui-ljspeech"], tmp_path, None, lambda _: None)
    assert error.value.code == "fetch-failed"
    assert not (tmp_path / "coqui" / "ljspeech-vits" / "model_file.pth").exists()
    # When it is fetched again
    fetch.fetch_model_files(MODELS["coqui-ljspeech"], tmp_path, None, lambda _: None)
    # Then only the rest was asked for, once for both files, all is there, and nothing lies about
    assert server.asked[0] == ""
    assert server.asked[1] not in ("", "bytes=0-")
    assert len(server.asked) == 2
    assert (tmp_path / "coqui" / "ljspeech-vits" / "config.json").read_bytes() == CONFIG
    assert {look.state for look in catalogue.check_model_files(MODELS["coqui-ljspeech"], tmp_path)} == {"good"}
    assert not (tmp_path / ".fetch").exists()


def test_what_is_no_such_zip_file_comes_anew(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a page in place of the file, and a zip file without the model
    point_at(monkeypatch, server)
    for data in (b"<html>moved</html>", zipped(readme=b"hello")):
        server.data = data
        with pytest.raises(MachineError) as error:
            fetch.fetch_model_files(MODELS["coqui-ljspeech"], tmp_path, None, lambda _: None)
        # Then it is refused, and not kept for the next try
        assert error.value.code == "model-damaged"
    server.data = zipped(model_file__pth=zipped(a=b"1"), config__json=CONFIG)
    fetch.fetch_model_files(MODELS["coqui-ljspeech"], tmp_path, None, lambda _: None)


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as error:
        download_zip("http://127.0.0.1:9/voice.zip", tmp_path)
    assert error.value.code == "fetch-failed"
