"""Assistants make and follow jobs by tools, on stdin and stdout and at `/mcp`, and see why one failed. The real client asks.

Its packages are imported where it asks: each process that collects these tests would spend a second on them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

from daemon.config import Settings
from daemon.doors.http.api_keys import ApiKeys
from daemon.doors.http.app import create_app
from daemon.doors.mcp.desk import MAX_DATA_BYTES, Desk
from daemon.doors.mcp.local import LocalDesk
from daemon.doors.mcp.server import ServerDesk
from daemon.errors import MachineError
from tests.conftest import PATIENCE_S, PORTRAIT, ROOT, Installation
from tests.support.daemon.known_faces import give_known_faces
from tests.support.http_door import Caller, serving

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult

pytestmark = pytest.mark.usefixtures("processes")

Returned = TypeVar("Returned")
TOOLS = {"make_video", "speak", "check_portrait", "get_job", "list_jobs", "cancel_job", "list_voices"}


@dataclass
class House:
    """A running daemon, a folder of an assistant's user, and the keys of two people at an HTTP server."""

    one: Installation
    files: Path
    anna: Caller
    ben: Caller

    def local(self, ask: Callable[[Client], Awaitable[Returned]]) -> Returned:
        """Ask the server of `avatar mcp`, which may read `files`; in this process, as one of its own takes a second to import."""
        from daemon.doors.client.client import Client as Door
        from daemon.doors.mcp.tools import build_server

        desk = LocalDesk(Door(Settings.load(self.one.config)), [self.files])
        return _asked(build_server(lambda _: desk), ask)

    def command(self, ask: Callable[[Client], Awaitable[Returned]], mode: str) -> Returned:
        """Ask `avatar mcp`, on its stdin and stdout."""
        from mcp import StdioServerParameters

        command = ["-m", "daemon.cli", "--config", str(self.one.config), "mcp", "--root", str(self.files)]
        return _asked(StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ)), ask, mode)

    def remote(self, caller: Caller, ask: Callable[[Client], Awaitable[Returned]]) -> Returned:
        """Ask the HTTP server with somebody's key."""
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        async def run() -> Returned:
            headers = {"Authorization": f"Bearer {caller.key}"}
            async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as http:
                transport = streamable_http_client(f"http://127.0.0.1:{caller.port}/mcp", http_client=http)
                async with Client(transport, read_timeout_seconds=PATIENCE_S) as client:
                    return await ask(client)

        return asyncio.run(run())


def _asked(server: Any, ask: Callable[[Client], Awaitable[Returned]], mode: str = "auto") -> Returned:
    from mcp import Client

    async def run() -> Returned:
        async with Client(server, mode=mode, read_timeout_seconds=PATIENCE_S) as client:
            return await ask(client)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = Installation(tmp_path_factory.mktemp("mcp"), server={"user": str(os.geteuid())})
    one.start()
    give_known_faces(one, "full")
    settings = Settings.load(one.config)
    keys = ApiKeys(settings.server.keys)
    files = one.root / "files"
    files.mkdir()
    (files / "anna.png").write_bytes(PORTRAIT.read_bytes())
    with serving(create_app(settings)) as client:
        yield House(one, files, *(client.with_key(keys.add(name, "submit")[1]) for name in ("anna", "ben")))
    one.stop()


async def finished(client: Client, answer: CallToolResult) -> CallToolResult:
    """Ask for a job until it has ended."""
    while told(answer)["state"] not in ("done", "failed", "cancelled"):
        answer = await client.call_tool("get_job", {"job": told(answer)["job"], "wait_s": 30})
    return answer


def told(answer: CallToolResult) -> dict[str, Any]:
    assert answer.structured_content is not None, answer.content
    return dict(answer.structured_content)


def words(answer: CallToolResult) -> str:
    return " ".join(getattr(part, "text", "") for part in answer.content)


def code(answer: CallToolResult) -> str:
    """The code of what a tool refused."""
    assert answer.is_error
    return re.match(r"Error executing tool \w+: ([a-z-]+): ", words(answer))[1]  # type: ignore[index]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_assistant_at_this_machine_makes_a_video_and_gets_a_link_to_it(house: House, mode: str) -> None:
    from mcp_types import ResourceLink

    async def ask(client: Client) -> tuple[set[str], CallToolResult]:
        names = {tool.name for tool in (await client.list_tools()).tools}
        asked = {"text": "Hi.", "portrait": "anna.png", "name": f"video-{mode}", "wait_s": 30}
        return names, await finished(client, await client.call_tool("make_video", asked))

    names, answer = house.command(ask, mode)
    assert names == TOOLS
    assert (told(answer)["state"], told(answer)["name"], answer.is_error) == ("done", f"video-{mode}", False)
    links = [part for part in answer.content if isinstance(part, ResourceLink)]
    assert str(links[-1].uri) == (house.one.outbox / f"video-{mode}.mp4").as_uri()


def test_a_file_outside_the_folders_that_may_be_read_is_refused_and_no_job_is_made(house: House) -> None:
    (house.files / "link.png").symlink_to(house.one.config)

    async def ask(client: Client) -> list[CallToolResult]:
        names = [str(house.one.config), "../config.yaml", "link.png", "absent.png", f"file://{house.files}/a%20b.png"]
        return [await client.call_tool("make_video", {"text": "Hi.", "portrait": name}) for name in names]

    before = sorted(house.one.inbox.iterdir())
    answers = house.local(ask)
    assert [code(answer) for answer in answers] == [*["path-refused"] * 3, "file-missing", "path-refused"]
    assert f"Write the path alone: {house.files}/a b.png." in str(answers[-1].content)
    assert sorted(house.one.inbox.iterdir()) == before


def test_a_failure_is_seen_through_the_tools_with_what_to_do(house: House) -> None:
    async def ask(client: Client) -> tuple[CallToolResult, ...]:
        wrong = await client.call_tool("speak", {"text": "Hi.", "voice": "hart"})
        unlike = await finished(client, await client.call_tool("speak", {"text": "Hi.", "voice": "quux", "wait_s": 30}))
        empty = await finished(client, await client.call_tool("speak", {"text": "[pause 1s]", "wait_s": 30}))
        return wrong, unlike, empty, await client.call_tool("list_jobs", {"state": "failed"})

    wrong, unlike, empty, listed = house.local(ask)
    assert "All are listed by `list_voices`." in words(unlike)
    assert wrong.is_error
    assert "Did you mean 'heart'?" in words(wrong)
    assert empty.is_error
    assert told(empty)["error"]["code"] == "text-empty"
    assert told(empty)["error"]["fault"] == "job"
    assert told(empty)["error"]["hint"] in words(empty)
    assert told(empty)["job"] in [one["job"] for one in told(listed)["jobs"]]


def test_a_portrait_is_checked_and_voices_are_listed(house: House) -> None:
    picture = "data:image/png;base64," + base64.b64encode(PORTRAIT.read_bytes().ljust(MAX_DATA_BYTES, b"\0")).decode()

    async def ask(client: Client) -> tuple[CallToolResult, CallToolResult, CallToolResult]:
        good = await client.call_tool("check_portrait", {"portrait": picture})
        bad = await client.call_tool("check_portrait", {"portrait": "data:image/png;base64,iVBORw0KGgo="})
        return good, bad, await client.call_tool("list_voices", {"language": "en"})

    good, bad, voices = house.remote(house.anna, ask)
    assert told(good)["accepted"] is True, told(good)
    assert told(bad)["accepted"] is None
    assert told(bad)["code"].startswith("image-"), told(bad)
    assert "hibari/heart" in [voice["id"] for voice in told(voices)["voices"]]


def test_at_the_server_each_key_has_its_own_jobs_and_nobody_without_one_gets_in(house: House) -> None:
    async def make(client: Client) -> CallToolResult:
        made = await finished(client, await client.call_tool("speak", {"text": "This is mine.", "name": "mine-alone"}))
        named = await client.call_tool("get_job", {"job": "mine-alone"})
        assert told(named)["job"] == told(made)["job"]
        return made

    answer = house.remote(house.anna, make)
    job, link = told(answer)["job"], told(answer)["results"][-1]["url"]
    assert house.anna.get(link.partition(str(house.anna.port))[2]).status == 200

    async def pry(client: Client) -> list[CallToolResult]:
        own = await client.call_tool("list_jobs", {})
        return [
            own,
            await client.call_tool("get_job", {"job": job}),
            await client.call_tool("get_job", {"job": "mine-alone"}),
            await client.call_tool("cancel_job", {"job": "mine-alone"}),
        ]

    own, looked, named, cancelled = house.remote(house.ben, pry)
    assert job not in [one["job"] for one in told(own)["jobs"]]
    assert (code(looked), code(named), code(cancelled)) == ("job-unknown",) * 3

    async def path(client: Client) -> CallToolResult:
        return await client.call_tool("make_video", {"text": "Hi.", "portrait": str(PORTRAIT)})

    assert code(house.remote(house.anna, path)) == "path-refused"
    refused = Caller(house.anna.port).post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert (refused.status, refused.code) == (401, "key-missing")


@pytest.mark.parametrize("place", ["local", "remote"])
def test_an_argument_that_a_tool_does_not_have_or_that_is_wrong_is_named_as_the_tool_calls_it(
    house: House, place: str
) -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        (
            "make_video",
            {"text": "Hi.", "image": "anna.png"},
            "make_video has no argument `image`. It takes text, audio, p",
        ),
        ("make_video", {"text": "Hi."}, "needs `portrait` or `avatar`"),
        ("make_video", {"text": "Hi.", "portrait": "data:image/png;base64,!"}, "The Base64 of `portrait` is damaged."),
        ("speak", {"text": "Hi.", "wait_s": 31}, "`wait_s` of speak: Input should be less than or equal to 30."),
        ("check_portrait", {"portrait": ""}, "`portrait` of check_portrait: "),
    ]

    async def ask(client: Client) -> list[CallToolResult]:
        assert all(tool.input_schema["additionalProperties"] is False for tool in (await client.list_tools()).tools)
        return [await client.call_tool(tool, arguments) for tool, arguments, _ in wrong]

    answers = house.local(ask) if place == "local" else house.remote(house.anna, ask)
    for answer, (_, _, said) in zip(answers, wrong, strict=True):
        assert code(answer) == "request-invalid"
        assert said in words(answer)
        assert "pydantic" not in words(answer)


@pytest.mark.parametrize("name", ["a\0b.png", "ring.png", "~nobody-of-this-name/a.png", "x" * 5000])
def test_a_name_that_can_be_none_of_a_file_is_refused_in_words(house: House, name: str) -> None:
    if name == "ring.png":
        (house.files / name).symlink_to(house.files / name)

    async def ask(client: Client) -> CallToolResult:
        return await client.call_tool("check_portrait", {"portrait": name})

    answer = house.local(ask)
    assert code(answer) in ("file-missing", "io-error")
    assert len(words(answer)) < 1000


@pytest.mark.parametrize("place", ["local", "remote"])
def test_a_list_says_of_a_job_that_is_done_what_the_job_itself_says(house: House, place: str) -> None:
    async def ask(client: Client) -> tuple[CallToolResult, CallToolResult]:
        made = await finished(client, await client.call_tool("speak", {"text": "Listed."}))
        return made, await client.call_tool("list_jobs", {"state": "done", "limit": 5})

    made, listed = house.local(ask) if place == "local" else house.remote(house.anna, ask)
    (found,) = [one for one in told(listed)["jobs"] if one["job"] == told(made)["job"]]
    assert found["progress"] == 1
    assert found["results"] == told(made)["results"] != []


@pytest.mark.parametrize("place", ["local", "remote"])
def test_a_state_that_there_is_none_of_and_a_huge_name_are_refused_in_few_words(house: House, place: str) -> None:
    async def ask(client: Client) -> tuple[CallToolResult, CallToolResult]:
        return (
            await client.call_tool("list_jobs", {"state": "finished"}),
            await client.call_tool("get_job", {"job": "x" * 100_000}),
        )

    listed, looked = house.local(ask) if place == "local" else house.remote(house.anna, ask)
    assert (code(listed), code(looked)) == ("query-invalid", "job-unknown")
    assert len(words(looked)) < 1000


def test_the_resource_of_a_job_that_is_not_there_says_so(house: House) -> None:
    from mcp import MCPError

    async def ask(client: Client) -> None:
        with pytest.raises(MCPError, match="job-unknown: There is no job job-20260101T000000Z-00000000"):
            await client.read_resource("avatard://jobs/job-20260101T000000Z-00000000")

    house.remote(house.anna, ask)


#: Asks a server of its own: first something else, then for the list of tools, by several clients at once.
_FIRST_REQUESTS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from daemon.config import Settings
from daemon.doors.http.app import create_app
from tests.support.http_door import serving

asked = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
said = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
with serving(create_app(Settings.load(Path(sys.argv[1])))) as caller:
    before = [caller.get("/docs").status, "mcp" in sys.modules]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: caller.send("POST", "/mcp", asked, said), range(4)))
print(json.dumps([before, [len(answer.json["result"]["tools"]) for answer in answers]]))
"""


def test_the_tools_of_a_server_are_made_when_the_first_clients_ask_for_them(tmp_path: Path) -> None:
    config = Installation(tmp_path).config
    result = subprocess.run(
        [sys.executable, "-c", _FIRST_REQUESTS, str(config)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == [[200, False], [len(TOOLS)] * 4]


def test_a_job_that_was_handed_in_and_cannot_be_looked_at_is_named_so_that_nobody_makes_it_again() -> None:
    from daemon.doors.mcp.tools import build_server

    class UnmountedDesk:
        told = ServerDesk.told

        def submit(self, *_: object) -> str:
            return "job-20260102T030405Z-0a1b2c3d"

        def status(self, job: str) -> dict[str, object]:
            raise MachineError("outbox-missing", "/srv/outbox is not mounted.")

    async def speak(client: Client) -> CallToolResult:
        return await client.call_tool("speak", {"text": "Hi."})

    answer = _asked(build_server(lambda _: cast(Desk, UnmountedDesk())), speak)
    assert answer.is_error
    assert "job-20260102T030405Z-0a1b2c3d was handed in" in words(answer)
    # And nobody elsewhere hears of the server's folders
    assert "outbox-missing: The folder of the results is not mounted now" in words(answer)
    assert "/srv" not in words(answer)
