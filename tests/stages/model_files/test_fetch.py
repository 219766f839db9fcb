"""Fetching a model file of PyTorch's format before 1.6, as the face-parsing network's is: it is kept, and can be read."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from daemon.errors import MachineError
from stages.model_files.catalogue import ModelFile, ModelPart, check_model_files
from stages.model_files.checkpoint import read_checkpoint
from stages.model_files.fetch import fetch_model_files
from stages.musetalk.networks.weights import read_tensors

pytestmark = pytest.mark.usefixtures("models")

PATH = "parser/network.pth"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The folder of its publisher."""
    path = tmp_path / "published" / PATH
    path.parent.mkdir(parents=True)
    torch.save({"weight": torch.arange(1000.0)}, path, _use_new_zipfile_serialization=False)
    return tmp_path / "published"


def part(published: Path) -> ModelPart:
    content = (published / PATH).read_bytes()
    file = ModelFile(PATH, "owner/name", "0" * 40, PATH, len(content), hashlib.sha256(content).hexdigest())
    return ModelPart("parser", "a network", "MIT", (file,))


@pytest.mark.parametrize("way", ["mirror", "download"])
def test_a_file_of_the_old_format_is_fetched_kept_and_read(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    # Given the published file, in a mirror or on Hugging Face
    def download(repo: str, remote: str, *, revision: str, local_dir: Path) -> str:
        (local_dir / remote).parent.mkdir(parents=True, exist_ok=True)
        return str(shutil.copy(published / remote, local_dir / remote))

    hub: Any = ModuleType("huggingface_hub")
    hub.hf_hub_download = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    wanted, root, said = part(published), tmp_path / "models", list[str]()
    # When it is fetched, twice
    for _ in range(2):
        fetch_model_files([wanted], root, published if way == "mirror" else None, said.append)
    # Then it came once, is known as the published one, and both readers read it
    assert len(said) == 1
    (status,) = check_model_files([wanted], root, deep=True)
    assert (status.state, status.why) == ("good", "")
    assert torch.equal(read_tensors(root / PATH)["weight"], torch.arange(1000.0))
    assert torch.equal(read_checkpoint(root / PATH, (), "")["weight"], torch.arange(1000.0))


def test_a_file_that_was_changed_on_its_way_is_not_kept(published: Path, tmp_path: Path) -> None:
    wanted = part(published)
    changed = bytearray((published / PATH).read_bytes())
    changed[-100] ^= 1
    (published / PATH).write_bytes(changed)
    with pytest.raises(MachineError) as error:
        fetch_model_files([wanted], tmp_path / "models", published, lambda _: None)
    assert error.value.code == "model-damaged"
    assert not (tmp_path / "models" / PATH).exists()
