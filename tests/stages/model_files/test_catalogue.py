"""Verifying model files of which no published hash is known."""

from __future__ import annotations

import hashlib
from pathlib import Path

from stages.model_files.catalogue import ModelFile, ModelPart, check_model_files


def test_a_file_without_a_published_hash_is_told_its_own_so_that_it_can_be_written_down(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"{}")
    part = ModelPart("config", "its shape", "MIT", (ModelFile("config.json", "owner/name", "0" * 40, "config.json"),))
    # When it is read completely, then its hash is said; a short look reads no file for it
    (looked,) = check_model_files((part,), tmp_path, deep=True)
    assert looked.state == "good"
    assert looked.why == f"it is intact; no published hash is known; its sha256 is {hashlib.sha256(b'{}').hexdigest()}"
    (glanced,) = check_model_files((part,), tmp_path)
    assert glanced.why == "it is intact; no published hash is known"
