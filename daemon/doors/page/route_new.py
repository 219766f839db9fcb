"""The page for a new job. Its one form checks the picture, lets the voice be heard, or hands the job in."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any, Final

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from daemon.doors.http.answers import Door, TheDoor
from daemon.doors.http.body import UPLOAD, content_length, received
from daemon.doors.http.callers import Caller
from daemon.doors.http.events import wait_for_end
from daemon.doors.http.incoming import Received
from daemon.doors.http.kept_uploads import KeptUploads
from daemon.doors.http.problems import RequestError, status_of
from daemon.doors.http.profile_owners import SeenProfiles
from daemon.doors.page.new_form import FILES, KeptFile, NewForm
from daemon.doors.page.pages import back, page, page_router
from daemon.doors.page.shown import whole_error
from daemon.doors.page.signed_in import Looking
from daemon.doors.reports import read_report
from daemon.errors import AvatarError, ConfigError, JobError, MachineError

router = page_router()
#: Longest wait for a look at a picture or a voice, s.
LOOK_S: Final = 20.0
_ACTIONS: Final = ("make", "draft", "check", "hear")
#: These are looked at before what only has to be finished some day.
_SOON: Final = 50


@router.get("")
def root(request: Request) -> Response:
    """Lead to the page with its `/`, from which its addresses are told."""
    from fastapi.responses import RedirectResponse

    return RedirectResponse("ui/", 303)


@router.get("/")
def new_page(request: Request, door: TheDoor, caller: Looking) -> Response:
    """Show an empty form, or one that makes a job again (`?again=JOB`), or with `?avatar=` or `?voice=`."""
    form, again = NewForm(), request.query_params.get("again", "")
    if again:
        status = door.jobs.status(again, caller)
        form = NewForm.again(status, door.jobs.manifest(status["job"]))
    else:  # from the pages of avatars and voices
        form.values |= {name: request.query_params.get(name, "")[:100] for name in ("avatar", "voice")}
    return _shown(request, door, caller, form)


@router.post("/")
async def post_form(request: Request, door: TheDoor, caller: Looking) -> Response:
    """Do what the button of the form says. What was typed and sent stays, or the page says that only the browser has it."""
    form, action, read = NewForm(), "make", False
    try:
        await run_in_threadpool(door.ledger.check, caller, content_length(request))
        async with received(request, door.jobs.paths.inbox, door.bounds, door.uploads) as (given, got):
            form, action, read = NewForm.of(given), str(given.get("do") or "make"), True
            caller.check_may_submit()
            if action not in _ACTIONS:
                raise RequestError(
                    "request-invalid", f"Nothing is called {action[:40]!r} here.", "Use the buttons of the page."
                )
            await run_in_threadpool(_keep, door, caller, form, got)
        if action == "check":
            return await _checked(request, door, caller, form)
        if action == "hear":
            return await _heard(request, door, caller, form)
        return await _made(request, door, caller, form, draft=action == "draft")
    except (JobError, RequestError, MachineError, ConfigError) as exc:
        return await run_in_threadpool(_shown, request, door, caller, form, error=exc, read=read)


def _keep(door: Door, caller: Caller, form: NewForm, got: Received) -> None:
    """Keep the files that came, so that none has to be sent again."""
    kept = KeptUploads(door.jobs.paths.inbox, time.time)
    for name in FILES:
        if (path := got.files.get(name)) is not None:
            door.ledger.add(caller, path.stat().st_size)
            told = kept.keep_one_of(path, got.digests[name], caller)
            form.kept[name] = KeptFile(told["ref"], told["name"])


def _files(door: Door, caller: Caller, manifest: dict[str, Any]) -> dict[str, Path]:
    """Take the kept files out of a manifest."""
    kept = KeptUploads(door.jobs.paths.inbox, time.time)
    named = {name: str(manifest.pop(name)) for name in FILES if str(manifest.get(name, "")).startswith(UPLOAD)}
    return {name: kept.find(ref.removeprefix(UPLOAD), caller) for name, ref in named.items()}


async def _made(request: Request, door: Door, caller: Caller, form: NewForm, *, draft: bool) -> Response:
    """Hand the job in, and lead to its page. `draft`: with the quality of a draft, whatever the form says."""

    def hand_in() -> str:
        manifest = form.manifest()
        if draft and manifest.get("kind") != "speech":
            manifest["quality"] = "draft"
        files = _files(door, caller, manifest)
        name, key = form.values["name"].strip() or None, form.values["key"]
        try:
            return door.jobs.hand_in(manifest, files, caller, name=name, key=key, take=False).job
        except AvatarError as exc:
            if exc.code != "key-reused":
                raise
        # Whoever goes back to a form that was sent, and changes it, wants another job; who sends it twice, one.
        return door.jobs.hand_in(
            manifest, files, caller, name=name, key=f"{key}.{_digest(manifest, files)}", take=False
        ).job

    job = await run_in_threadpool(hand_in)
    return back(request, f"jobs/{job}", "The job is handed in. You may close this page: it goes on.")


async def _checked(request: Request, door: Door, caller: Caller, form: NewForm) -> Response:
    """Show the form with what is said of its picture."""
    if "image" not in form.kept:
        raise RequestError("file-missing", "No picture was chosen.", "Choose one first.")

    def hand_in() -> str:
        manifest: dict[str, Any] = {"kind": "detect", "image": form.kept["image"].ref, "priority": _soon(caller)}
        return door.jobs.hand_in(manifest, _files(door, caller, manifest), caller, take=False).job

    status = await _looked_at(door, caller, await run_in_threadpool(hand_in))
    verdict: dict[str, Any] | None = None
    if status["state"] == "done":
        verdict = (await run_in_threadpool(read_report, door.jobs.paths.outbox, status, ".face.json")).get("verdict")
        verdict = {**(verdict or {}), "warnings": status.get("warnings") or []}
    elif error := whole_error(status.get("error")):
        verdict = {"accepted": False, **error}
    return await run_in_threadpool(_shown, request, door, caller, form, verdict=verdict or {"accepted": None})


async def _heard(request: Request, door: Door, caller: Caller, form: NewForm) -> Response:
    """Show the form with the first sentence of its text as a sound."""

    def hand_in() -> str:
        manifest = {"kind": "speech", "text": form.first_sentence, "priority": _soon(caller)}
        if voice := form.values["voice"].strip():
            manifest["voice"] = voice
        return door.jobs.hand_in(manifest, {}, caller).job

    status = await _looked_at(door, caller, await run_in_threadpool(hand_in))
    if error := whole_error(status.get("error")):
        raise JobError(error["code"], error["message"], error["hint"])
    return await run_in_threadpool(
        _shown, request, door, caller, form, heard=status if status["state"] == "done" else {}
    )


async def _looked_at(door: Door, caller: Caller, job: str) -> dict[str, Any]:
    if not await run_in_threadpool(door.jobs.may_run):
        return {"state": "waiting"}
    return await wait_for_end(lambda: door.jobs.status(job, caller), LOOK_S)


def _digest(manifest: dict[str, Any], files: dict[str, Path]) -> str:
    told = [manifest, {name: (path.name, path.stat().st_size) for name, path in files.items()}]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _soon(caller: Caller) -> int:
    highest = caller.limits.priority
    return _SOON if highest is None else min(_SOON, highest)


def _shown(
    request: Request,
    door: Door,
    caller: Caller,
    form: NewForm,
    *,
    error: AvatarError | None = None,
    read: bool = True,
    verdict: dict[str, Any] | None = None,
    heard: dict[str, Any] | None = None,
) -> Response:
    profiles = SeenProfiles(door.settings, caller)
    rows = profiles.voices.get("voices")
    voices = [row for row in rows if isinstance(row, dict) and row.get("installed")] if isinstance(rows, list) else []
    avatars = [one for one in profiles.avatars if not one.expired]
    return page(
        request,
        "new.html",
        200 if error is None else status_of(error),
        form=form,
        error=error,
        read=read,
        verdict=verdict,
        heard=heard,
        voices=voices,
        avatars=avatars,
        running=door.jobs.may_run(),
    )
