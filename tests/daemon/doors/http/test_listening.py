"""One server listens on an address: a second one says that it is in use, and takes nobody's place."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from daemon.cli.commands.server import _check_free
from daemon.errors import UnavailableError
from tests.conftest import ROOT
from tests.support.http_door import PATIENCE_S
from tests.support.http_server import make_folders
from tests.support.machine.server_process import server_process


def test_a_port_is_refused_while_somebody_listens_on_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            _check_free("127.0.0.1", port, None)
    _check_free("127.0.0.1", port, None)
    _check_free("127.0.0.1", 0, None)


def test_a_unix_socket_is_refused_while_somebody_listens_on_it_and_left_to_them(tmp_path: Path) -> None:
    path = tmp_path / "s"
    _check_free("", 0, path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(0)
        for _ in range(3):  # also where its queue is full
            with pytest.raises(UnavailableError, match="already in use"):
                _check_free("", 0, path)
        assert path.exists()
    # And one that a killed server left is removed: several processes would not listen on it
    _check_free("", 0, path)
    assert not path.exists()
    # And what is no socket stays, and is named
    path.write_text("mine")
    for wrong in (path, tmp_path / "nowhere" / "s"):
        with pytest.raises(UnavailableError, match=str(wrong)):
            _check_free("", 0, wrong)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_an_address_that_this_machine_does_not_have_is_named(host: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        _check_free(host, 8000, None)
    assert (caught.value.code, host in caught.value.message) == ("address-unusable", True)


@pytest.mark.usefixtures("processes")
def test_in_a_terminal_the_server_says_where_it_listens(tmp_path: Path) -> None:
    config = make_folders(tmp_path)
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "daemon.cli", "--config", str(config), "server", "start", "--port", "0"]
    process = server_process(command, cwd=ROOT, stderr=theirs)
    os.close(theirs)
    try:
        said = b""
        while b"Ctrl-C ends it" not in said:
            said += os.read(ours, 4096)  # which fails at its end
        assert b"avatar: The server listens on http://127.0.0.1:" in said
        assert b":0;" not in said
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        os.close(ours)
