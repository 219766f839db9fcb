"""A reload puts new sections in the place of the old ones, except for what needs a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from daemon.config import Settings
from daemon.config.reload import reload_settings
from daemon.errors import ConfigError

BEFORE = "retry: {attempts: 2}\nlanes: {cpu: {processes: 3}, timeout: {base_s: 10}}\n"
AFTER = "retry: {attempts: 5}\nlanes: {cpu: {processes: 4}, timeout: {base_s: 20}}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(BEFORE)
    return path


def test_reload_applies_what_can_be_changed_and_names_what_needs_a_restart(config: Path) -> None:
    settings = Settings.load(config)
    config.write_text(AFTER)

    change = reload_settings(settings, config)

    assert (settings.retry.attempts, settings.lanes.timeout.base_s, settings.lanes.cpu.processes) == (5, 20, 3)
    assert (change.applied, change.waiting) == (["retry.attempts", "lanes.timeout.base_s"], ["lanes.cpu.processes"])


def test_an_invalid_file_changes_nothing(config: Path) -> None:
    settings = Settings.load(config)
    before = settings.model_copy(deep=True)
    config.write_text(AFTER + "log: {level: loud}\n")

    with pytest.raises(ConfigError):
        reload_settings(settings, config)

    assert settings == before


def test_no_code_can_change_a_section_in_place(config: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings.load(config).retry.attempts = 9  # type: ignore[misc]
