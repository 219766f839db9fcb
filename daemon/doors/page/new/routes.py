"""The page for a new job. Its one form checks the picture or a table, lets the voice be heard, or hands the job in."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any, Final

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from daemon.doors.http.answers import Door, TheDoor
from daemon.doors.http.body import UPLOAD, content_length, received, take_all_uploads
from daemon.doors.http.callers import Caller
from daemon.doors.http.incoming import Received
from daemon.doors.http.kept_uploads import KeptUploads
from daemon.doors.http.problems import RequestError, status_of
from daemon.doors.http.profile_owners import SeenProfiles
from daemon.doors.job_names import check_name
from daemon.doors.page.looked_at import hand_in_look, wait_for_look
from daemon.doors.page.new.form import ASKED_AS, FIELDS, FILES, ROWS, KeptFile, NewForm
from daemon.doors.page.new.table import TableLook, batch_manifest, look_at_table, rows_wrong
from daemon.doors.page.pages import back, page, page_router
from daemon.doors.page.shown import whole_error
from daemon.doors.page.signed_in import Looking
from daemon.doors.page.wrong_field import about, as_of_a_form, wrong_field
from daemon.doors.reports import read_report
from daemon.errors import AvatarError, JobError

router = page_router()
#: Begins the action that leaves a file out which the server has.
_WITHOUT: Final = "without-"
#: Has the whole text spoken, where `hear` has its first sentence.
_HEAR_ALL: Final = "hear-all"
#: So long a form waits for another sending of it, s.
_TWICE_S: Final = 15.0
_ACTIONS: Final = ("make", "draft", "check", "hear", _HEAR_ALL, "table", *(f"{_WITHOUT}{name}" for name in FILES))


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
        if (
            form.values["quality"] == "draft"
        ):  # whoever has seen the draft wants the video; a button makes another draft
            form.values["quality"] = ""
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
        if action.startswith(_WITHOUT):
            form.kept.pop(action.removeprefix(_WITHOUT), None)
            return await run_in_threadpool(_shown, request, door, caller, form)
        if action == "check":
            return await _checked(request, door, caller, form)
        if action in ("hear", _HEAR_ALL):
            return await _heard(request, door, caller, form, whole=action == _HEAR_ALL)
        if action == "table":
            return await _table_looked_at(request, door, caller, form)
        return await _made(request, door, caller, form, draft=action == "draft")
    except AvatarError as exc:
        return await run_in_threadpool(_shown, request, door, caller, form, error=exc, read=read)


def _keep(door: Door, caller: Caller, form: NewForm, got: Received) -> None:
    """Keep the files that came, so that none has to be sent again."""
    kept = KeptUploads(door.jobs.paths.inbox)
    for name in FILES:
        if (path := got.files.get(name)) is not None:
            door.ledger.add(caller, path.stat().st_size)
            told = kept.keep_one_of(path, got.digests[name], caller)
            form.kept[name] = KeptFile(told["ref"], told["name"])


def _wanted(door: Door, caller: Caller, form: NewForm) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return the manifest that a form asks for, and the kept files that it names.

    Raises:
        RequestError: `upload-unknown`; `job-unknown`: of the job that is made again.
        JobError: the table cannot be read.
    """
    before = None
    if base := form.values["base"]:
        status = door.jobs.status(base, caller)
        before = NewForm.again(status, door.jobs.manifest(status["job"]))
    manifest, kept = form.manifest(before), KeptUploads(door.jobs.paths.inbox)
    files = take_all_uploads(manifest, lambda one: kept.find(one, caller))
    return (batch_manifest(manifest, files) if ROWS in files else manifest), files


async def _made(request: Request, door: Door, caller: Caller, form: NewForm, *, draft: bool) -> Response:
    """Hand the job in, and lead to its page. `draft`: with the quality of a draft, whatever the form says."""
    found: TableLook | None = None

    def hand_in() -> str:
        nonlocal found
        if not form.has_words:
            raise JobError("text-empty", "There is no text.", "Type what is to be said, or choose a recording.")
        manifest, files = _wanted(door, caller, form)
        one = manifest.get("template", manifest)
        if draft and one.get("kind") != "speech":
            one["quality"] = "draft"
        name, key = form.values["name"].strip() or None, form.values["key"]
        try:
            name = None if name is None else check_name(name)
        except JobError as exc:
            raise about(exc, "name") from exc
        try:
            return _hand_in_once(door, manifest, files, caller, name, key)
        except AvatarError as exc:
            if ROWS in files and exc.code.startswith("rows-"):
                found = look_at_table(door, caller, manifest, files)
                raise rows_wrong(found) from exc
            if exc.code != "key-reused":
                raise
        # Whoever goes back to a form that was sent, and changes it, wants another job; who sends it twice, one.
        key = f"{key}.{_digest(manifest, files)}"
        return _hand_in_once(door, manifest, files, caller, name, key)

    try:
        job = await run_in_threadpool(hand_in)
    except RequestError as exc:
        if found is None:
            raise
        return await run_in_threadpool(_shown, request, door, caller, form, error=exc, table=found)
    if ROWS in form.kept:
        return back(request, f"batches/{job}", "The batch is handed in. You may close this page: it goes on.")
    return back(request, f"jobs/{job}", "The job is handed in. You may close this page: it goes on.")


def _hand_in_once(
    door: Door, manifest: dict[str, Any], files: dict[str, Path], caller: Caller, name: str | None, key: str
) -> str:
    """Hand a job in; returns its id. A form that is sent twice at once, as by a double click, waits for its first sending."""
    until = time.monotonic() + _TWICE_S
    while True:
        try:
            return door.jobs.hand_in(manifest, files, caller, name=name, key=key, take=False).job
        except AvatarError as exc:
            if exc.code != "key-busy" or time.monotonic() > until:
                raise
        time.sleep(0.1)


async def _checked(request: Request, door: Door, caller: Caller, form: NewForm) -> Response:
    """Show the form with what is said of its picture."""
    if "image" not in form.kept:
        raise about(JobError("file-missing", "No picture was chosen.", "Choose one first."), "image")

    def hand_in() -> str:
        path = KeptUploads(door.jobs.paths.inbox).find(form.kept["image"].ref.removeprefix(UPLOAD), caller)
        return hand_in_look(door, caller, {"kind": "detect"}, {"image": path})

    status = await wait_for_look(door, caller, await run_in_threadpool(hand_in))
    verdict: dict[str, Any] | None = None
    if status["state"] == "done":
        verdict = (await run_in_threadpool(read_report, door.jobs.paths.outbox, status, ".face.json")).get("verdict")
        verdict = {**(verdict or {}), "warnings": status.get("warnings") or []}
    elif error := whole_error(status.get("error")):
        verdict = {"accepted": False, **error}
    return await run_in_threadpool(_shown, request, door, caller, form, verdict=verdict or {"accepted": None})


async def _heard(request: Request, door: Door, caller: Caller, form: NewForm, *, whole: bool) -> Response:
    """Show the form with its text as a sound. `whole`: not only its first sentence."""

    def hand_in() -> str:
        text = form.values["text"].strip() if whole else ""
        manifest = {"kind": "speech", "text": text or form.first_sentence}
        if voice := form.values["voice"].strip():
            manifest["voice"] = voice
        return hand_in_look(door, caller, manifest, {})

    status = await wait_for_look(door, caller, await run_in_threadpool(hand_in))
    if error := whole_error(status.get("error")):
        raise JobError(error["code"], error["message"], error["hint"])
    return await run_in_threadpool(_shown, request, door, caller, form, heard=status, whole=whole)


async def _table_looked_at(request: Request, door: Door, caller: Caller, form: NewForm) -> Response:
    """Show the form with what is in its table, and all that is wrong with its rows."""
    if ROWS not in form.kept:
        raise about(JobError("file-missing", "No table was chosen.", "Choose one first."), ROWS)

    def look() -> TableLook:
        manifest, files = _wanted(door, caller, form)
        return look_at_table(door, caller, manifest, files)

    return await run_in_threadpool(_shown, request, door, caller, form, table=await run_in_threadpool(look))


def _digest(manifest: dict[str, Any], files: dict[str, Path]) -> str:
    told = [manifest, {name: (path.name, path.stat().st_size) for name, path in files.items()}]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


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
    whole: bool = False,
    table: TableLook | None = None,
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
        error=None if error is None else as_of_a_form(error),
        wrong=wrong_field(error, FIELDS, ASKED_AS),
        read=read,
        verdict=verdict,
        heard=heard,
        whole=whole,
        table=table,
        voices=voices,
        avatars=avatars,
        running=door.jobs.may_run(),
    )
