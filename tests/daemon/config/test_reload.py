"""A reload puts new sections in the place of the old ones, except for what needs a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from daemon.config import Settings
from daemon.config.reload import reload_settings
from daemon.errors import ConfigError


def test_a_setting_taken_out_of_the_file_falls_back_to_its_default(tmp_path: Path) -> None:
    # Given settings from an empty file / When one is set, and then taken out again
    path = tmp_path / "config.yaml"
    path.write_text("{}")
    settings = Settings.load(path)
    path.write_text("retry: {attempts: 7}\npaths: {inbox: elsewhere}\nmetrics: {port: 1}\n")
    change = reload_settings(settings, path)
    # Then what can be changed is, and what is fixed at start waits
    assert (settings.retry.attempts, change.applied) == (7, ["retry.attempts"])
    assert change.waiting == ["paths.inbox", "metrics.port"]
    assert settings.paths.inbox == tmp_path / "inbox"
    assert Settings().retry.attempts == 3  # the defaults are not changed with it
    path.write_text("{}")
    assert reload_settings(settings, path).applied == ["retry.attempts"]
    assert settings.retry.attempts == 3
    # And a wrong file changes nothing, not even what is right in it
    path.write_text("retry: {attempts: 7, crashes: 0}")
    with pytest.raises(ConfigError, match=r"retry\.crashes"):
        reload_settings(settings, path)
    assert settings.retry.attempts == 3


def test_no_code_can_change_a_section_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().retry.attempts = 9  # type: ignore[misc]
