"""The page of the system, for admins: what runs, what is paused and why, disks, GPUs, the last hour, and the doctor."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from daemon.doors.http.answers import Door, TheDoor
from daemon.doors.http.callers import Caller
from daemon.doors.http.problems import RequestError
from daemon.doors.page.live import stream
from daemon.doors.page.pages import back, page, page_router, render
from daemon.doors.page.route_list import changing
from daemon.doors.page.service_state import PAUSED
from daemon.doors.page.signed_in import Looking, form_of
from daemon.doors.page.system_state import busy_slots, examine, last_hour_svg, percent, system_state
from daemon.doors.requests import ask
from daemon.errors import MachineError
from daemon.queue.pauses import SCOPES
from daemon.queue.spool import Spool

router = page_router()
#: How long a pause may be ordered for, by the value of the form: label, and seconds; None: until somebody ends it.
LENGTHS: Final[dict[str, tuple[str, float | None]]] = {
    "": ("Until somebody lets it go on", None),
    "900": ("15 minutes", 900.0),
    "3600": ("1 hour", 3600.0),
    "28800": ("8 hours", 28_800.0),
}
#: What a pause of a scope means.
SCOPE_WORDS: Final = {
    "lanes": "Finish what runs, start nothing new",
    "intake": "Take in no new jobs",
}
_REASON_CHARS: Final = 200
_SVG: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cache-Control": "no-store",
}


def _check_admin(caller: Caller) -> None:
    if not caller.sees_all:
        raise RequestError("not-allowed", "This page is for admins.", "Sign in with a key whose role is admin.")


@router.get("/system")
def system_page(request: Request, door: TheDoor, caller: Looking) -> Response:
    """Show how the system stands."""
    _check_admin(caller)
    return page(request, "system.html", **_values(door, caller), slots=busy_slots(door.settings), findings=None)


@router.get("/system/live")
def system_live(request: Request, door: TheDoor, caller: Looking) -> Response:
    """Keep the page up to date."""
    _check_admin(caller)

    def fragment() -> str:
        return render(request, "system_live.html", at="./", **_values(door, caller))

    return stream(request, fragment, lambda: changing(door.jobs))


def _values(door: Door, caller: Caller) -> dict[str, Any]:
    return {
        "system": system_state(door, caller),
        "lengths": LENGTHS,
        "scopes": SCOPE_WORDS,
        "paused": PAUSED,
        "percent": percent,
    }


@router.get("/system/last-hour.svg")
def timeline(door: TheDoor, caller: Looking) -> Response:
    """Draw the last hour."""
    _check_admin(caller)
    return Response(last_hour_svg(door.settings), media_type="image/svg+xml", headers=_SVG)


@router.post("/system/doctor")
async def doctor(request: Request, door: TheDoor, caller: Looking) -> Response:
    """Show what `avatar doctor` finds."""
    _check_admin(caller)
    findings = await run_in_threadpool(examine, door.settings)
    order = {"bad": 0, "note": 1}
    findings.sort(key=lambda one: order.get(str(one.get("verdict")), 2))
    values = await run_in_threadpool(_values, door, caller)
    slots = await run_in_threadpool(busy_slots, door.settings)
    return page(request, "system.html", **values, slots=slots, findings=findings)


@router.post("/system/pause")
async def pause(request: Request, door: TheDoor, caller: Looking) -> Response:
    """Order a pause."""
    _check_admin(caller)
    form = {name: values[-1] for name, values in (await form_of(request)).items()}
    _, seconds = LENGTHS.get(form.get("for", ""), LENGTHS[""])
    more = {"for_s": seconds} if seconds is not None else {}
    reason = form.get("reason", "").strip()[:_REASON_CHARS]
    said = await run_in_threadpool(
        lambda: _ask(door, caller, "pause", scope=form.get("scope", "lanes"), reason=reason, **more)
    )
    return back(request, "system", said)


@router.post("/system/resume")
async def resume(request: Request, door: TheDoor, caller: Looking) -> Response:
    """End a pause."""
    _check_admin(caller)
    scope = (await form_of(request)).get("scope", [""])[-1]
    said = await run_in_threadpool(
        lambda: _ask(door, caller, "resume", **({"scope": scope} if scope in SCOPES else {}))
    )
    return back(request, "system", said)


def _ask(door: Door, caller: Caller, op: str, **data: Any) -> str:
    try:
        return str(ask(Spool(door.jobs.paths.spool), door.jobs.may_run, op, by=caller.name, **data)["message"])
    except OSError as exc:
        raise MachineError(
            "not-allowed", "This server may not ask the daemon for that.", f"Use `avatar {op}` in a terminal."
        ) from exc
