"""The page of one job: how far it is, its results to play and to save, and why it failed."""

from __future__ import annotations

import io
import os
from typing import Any, Final

from fastapi import Request, Response
from PIL import Image
from starlette.concurrency import run_in_threadpool

from daemon.doors.http.answers import Door, TheDoor, is_known
from daemon.doors.http.callers import Caller
from daemon.doors.http.problems import RequestError
from daemon.doors.http.results import answer_result, chosen_output, open_result
from daemon.doors.page.job_rows import actions_of, row_of
from daemon.doors.page.live import stream
from daemon.doors.page.pages import back, page, page_router, render
from daemon.doors.page.route_list import DONE, MOVES, act, changing
from daemon.doors.page.service_state import service_state
from daemon.doors.page.shown import whole_error
from daemon.doors.page.signed_in import Looking, form_of
from daemon.jobs.yaml_positions import to_yaml

router = page_router()
#: Side of a small picture in a list, px.
_THUMB_PX: Final = 112
_PLAYED: Final = {
    **dict.fromkeys((".mp4", ".webm", ".mov"), "video"),
    **dict.fromkeys((".wav", ".mp3", ".opus", ".flac"), "audio"),
}


@router.get("/jobs/{job}")
def job_page(request: Request, job: str, door: TheDoor, caller: Looking) -> Response:
    """Show one job."""
    return page(request, "job.html", **_values(door, caller, job))


@router.get("/jobs/{job}/live")
def job_live(request: Request, job: str, door: TheDoor, caller: Looking) -> Response:
    """Keep the page of a job up to date."""
    name = door.jobs.status(job, caller)["name"]

    def fragment() -> str:
        return render(request, "job_live.html", at="../", **_values(door, caller, job))

    return stream(request, fragment, lambda: (*changing(door.jobs), door.jobs.outbox.root / f"{name}.json"))


def _values(door: Door, caller: Caller, job: str) -> dict[str, Any]:
    status = door.jobs.status(job, caller)
    outputs = [
        {"name": os.path.basename(one["file"]), "bytes": one.get("bytes"), "as": _PLAYED.get(_ending(one["file"]), "")}
        for one in status.get("outputs") or []
        if isinstance(one, dict) and isinstance(one.get("file"), str)
    ]
    manifest = door.jobs.manifest(job)
    stages = {name: facts for name, facts in (status.get("stages") or {}).items() if isinstance(facts, dict)}
    return {
        "job": {
            "waiting_for": [],
            "next": "",
            **status,
            "error": whole_error(status.get("error")),
        },
        "row": row_of(status),
        "news": [one for one in status.get("warnings") or () if str(one) not in str(status.get("next"))],
        "actions": actions_of(status),
        "outputs": outputs,
        "played": next((one for one in reversed(outputs) if one["as"]), None),
        "captions": next((one for one in outputs if one["name"].endswith(".vtt")), None),
        "picture": next((one for one in outputs if one["name"].lower().endswith((".jpg", ".png"))), None),
        "stages": stages,
        "times": status.get("timings") or {},
        "manifest": to_yaml(manifest).decode() if manifest else "",
        "service": service_state(door),
    }


@router.post("/jobs/{job}/do")
async def do_one(request: Request, job: str, door: TheDoor, caller: Looking) -> Response:
    """Cancel, hold, release, move or retry a job."""
    op = (await form_of(request)).get("op", [""])[-1]
    said = await run_in_threadpool(act, door, caller, op, job)
    if op in MOVES:
        said = f"It is {DONE[op]}."
    return back(request, f"jobs/{job}", said)


@router.get("/jobs/{job}/files/{file}")
def job_file(request: Request, job: str, file: str, door: TheDoor, caller: Looking) -> Response:
    """Give out a result. `?save`: to be saved, not shown."""
    answer = answer_result(request, door, caller, job, file)
    answer.headers["Content-Security-Policy"] = "default-src 'none'; media-src 'self'; img-src 'self'; sandbox"
    if "save" in request.query_params and answer.status_code == 200:
        answer.headers["Content-Disposition"] = answer.headers["Content-Disposition"].replace("inline", "attachment", 1)
    return answer


@router.get("/jobs/{job}/thumb/{file}")
def job_thumb(request: Request, job: str, file: str, door: TheDoor, caller: Looking) -> Response:
    """Give out a result that is a picture, small."""
    output = chosen_output(door.jobs.paths, door.jobs.status(job, caller), file)
    headers = {"ETag": f'"{output.get("sha256", "")}-small"', "Cache-Control": "private, max-age=86400"}
    if is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    fd = open_result(door.jobs.paths, output)
    made = io.BytesIO()
    try:
        with os.fdopen(fd, "rb") as opened, Image.open(opened, formats=("JPEG", "PNG")) as picture:
            picture.draft("RGB", (_THUMB_PX, _THUMB_PX))
            picture.thumbnail((_THUMB_PX, _THUMB_PX))
            picture.convert("RGB").save(made, "JPEG", quality=80)
    except (OSError, ValueError, Image.DecompressionBombError) as exc:
        raise RequestError("file-unknown", f"{file[:80]} is no picture.", "Save it instead.") from exc
    return Response(made.getvalue(), media_type="image/jpeg", headers=headers)


def _ending(file: str) -> str:
    return os.path.splitext(file)[1].lower()
