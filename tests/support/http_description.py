"""Compares answers of the HTTP door with its description."""

from __future__ import annotations

import json
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from starlette.testclient import TestClient

from daemon.config import Settings
from daemon.doors.http.app import create_app

_JSON = "application/json"


def check_described(method: str, path: str, status: int, body: bytes) -> None:
    """Check that a successful answer in JSON is described as such, and fits its schema. Addresses that are not described, such as
    those behind a proxy at a path of its own, are passed over.
    """
    answers = next((found for pattern, found in _operations(method) if pattern.fullmatch(path.partition("?")[0])), None)
    if answers is None:
        return
    content = answers[str(status)]["content"][_JSON]
    wrong = [f"{one.json_path}: {one.message}" for one in _validator(json.dumps(content)).iter_errors(json.loads(body))]
    assert not wrong, (method, path, status, wrong, body)


@cache
def _described() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        names = ("inbox", "outbox", "spool")
        settings = Settings.parse({"paths": {name: name for name in names}}, Path(folder) / "config.yaml")
        client = TestClient(create_app(settings), base_url="http://127.0.0.1")
        described: dict[str, Any] = client.get("/openapi.json").json()
        return described


@cache
def _operations(method: str) -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Return the described answers of each address that knows a method."""
    found = [
        (path, one[method.lower()]["responses"]) for path, one in _described()["paths"].items() if method.lower() in one
    ]
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), answers) for path, answers in found]


@cache
def _validator(content: str) -> Draft202012Validator:
    schema = json.loads(content).get("schema", {})
    return Draft202012Validator({**schema, "components": _described()["components"]})
