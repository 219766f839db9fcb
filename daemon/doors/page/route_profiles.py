"""The pages of avatars and voices: to see and hear them, to make new ones, and to remove some."""

from __future__ import annotations

import io
import os
from functools import partial
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from PIL import Image
from starlette.concurrency import run_in_threadpool

from daemon.doors.http.answers import Door, TheDoor, is_known
from daemon.doors.http.body import content_length, received
from daemon.doors.http.callers import Caller
from daemon.doors.http.problems import RequestError, status_of
from daemon.doors.http.profile_owners import SeenProfiles
from daemon.doors.http.results import OpenFileResponse
from daemon.doors.page.live import stream
from daemon.doors.page.looked_at import hand_in_look, wait_for_look
from daemon.doors.page.pages import back, page, page_router, render
from daemon.doors.page.profile_cards import VoiceCard, avatar_cards, uses, voice_cards
from daemon.doors.page.route_list import changing
from daemon.doors.page.service_state import service_state
from daemon.doors.page.signed_in import Looking, form_of
from daemon.doors.page.wrong_field import about, wrong_field
from daemon.errors import AvatarError, JobError
from daemon.history.query import Query as JobQuery
from daemon.jobs.language import LANGUAGE_NAMES
from daemon.jobs.record import JOB_ID
from daemon.profiles.avatars import PICTURE, AvatarStore
from daemon.profiles.profile_folders import ProfileFolders, UnusableProfileError
from daemon.system.safe_open import open_inside

router = page_router()
#: Side of the picture of an avatar, px.
_PICTURE_PX: Final = 480
_TEXT_CHARS: Final = 300
_SHOWN: Final = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, max-age=600"}
#: What the form for a new one holds at first.
_EMPTY: Final = dict.fromkeys(("name", "consent", "expires", "voice", "language"), "")
#: The fields that an error may be about, and those that are called otherwise than the keys of the manifest.
_FIELDS: Final = frozenset({"name", "consent", "expires", "voice", "image", "audio", "spoken"})
_ASKED_AS: Final = {"profile": "name", "language": "spoken"}
Sort = Literal["avatars", "voices"]
Language = Annotated[str, Query(max_length=20)]
Heard = Annotated[str, Query(max_length=60)]


@router.get("/avatars")
def avatars_page(request: Request, door: TheDoor, caller: Looking) -> Response:
    """Show the avatars."""
    return page(request, "avatars.html", **_avatars(door, caller))


@router.get("/avatars/live")
def avatars_live(request: Request, door: TheDoor, caller: Looking) -> Response:
    """Keep the avatars up to date."""

    def fragment() -> str:
        return render(request, "avatars_live.html", at="./", **_avatars(door, caller))

    return stream(request, fragment, lambda: (*changing(door.jobs), door.settings.paths.avatars))


def _avatars(
    door: Door, caller: Caller, *, error: AvatarError | None = None, form: dict[str, str] | None = None
) -> dict[str, Any]:
    try:
        cards = avatar_cards(door.settings, uses(door.jobs, caller), caller)
    except PermissionError:
        cards = None
    return {
        "cards": cards, "error": error, "wrong": wrong_field(error, _FIELDS, _ASKED_AS), "form": form or _EMPTY,
        "read": form is not None, "service": service_state(door),
        "consent_wanted": door.settings.stages.face.require_consent, "waiting": _being_made(door, caller, "avatar"),
    }  # fmt: skip


def _being_made(door: Door, caller: Caller, kind: str) -> list[dict[str, Any]]:
    """Return the jobs that make one now, each as it is called in its form."""
    query = JobQuery(
        kind=[kind], state=("waiting", "queued", "running", "held"), by=[] if caller.sees_all else [caller.name]
    )
    try:
        found = door.jobs.find(query, caller, limit=10, after=None)[0]
    except AvatarError:
        return []
    return [{**one, "name": _called(door, one)} for one in found if one["job"]]


def _called(door: Door, job: dict[str, Any]) -> str:
    """Return what a job calls what it makes; the job's own name where its manifest cannot be read."""
    profile = door.jobs.manifest(job["job"]).get("profile")
    return str(profile.get("name") or "" if isinstance(profile, dict) else "") or str(job["name"])


@router.get("/avatars/{profile}/picture")
def avatar_picture(request: Request, profile: str, door: TheDoor, caller: Looking) -> Response:
    """Give out the picture of an avatar, made anew, so that nothing else of the file is sent."""
    store = AvatarStore(door.settings.paths.avatars)
    found = store.find_profile(profile)
    SeenProfiles(door.settings, caller).check_seen(found, "avatar")
    name = next((one for one in ("portrait.png", PICTURE) if one in found.files or one == PICTURE), PICTURE)
    known = found.files[name]["sha256"] if name in found.files else found.created
    headers = {**_SHOWN, "ETag": f'"{known}-shown"'}
    if is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    made = io.BytesIO()
    try:
        with (
            store.open_file(found, name) as fd,
            os.fdopen(os.dup(fd), "rb") as file,
            Image.open(file, formats=("JPEG", "PNG", "WEBP")) as picture,
        ):
            picture.thumbnail((_PICTURE_PX, _PICTURE_PX))
            picture.convert("RGB").save(made, "JPEG", quality=82)
    except (OSError, ValueError, Image.DecompressionBombError) as exc:
        raise RequestError("file-unknown", f"{found.name} has no picture that can be shown.", "Make it again.") from exc
    return Response(made.getvalue(), media_type="image/jpeg", headers=headers)


@router.get("/voices")
def voices_page(
    request: Request, door: TheDoor, caller: Looking, language: Language = "", heard: Heard = "",
    text: Annotated[str, Query(max_length=_TEXT_CHARS)] = "",
) -> Response:  # fmt: skip
    """Show the voices."""
    return page(request, "voices.html", **_voices(door, caller, language, heard=heard, text=text))


@router.get("/voices/live")
def voices_live(
    request: Request, door: TheDoor, caller: Looking, language: Language = "", heard: Heard = ""
) -> Response:
    """Keep the voices up to date."""

    def fragment() -> str:
        return render(request, "voices_live.html", at="./", **_voices(door, caller, language, heard=heard))

    return stream(request, fragment, lambda: (*changing(door.jobs), door.settings.paths.profiles))


def _voices(
    door: Door, caller: Caller, language: str = "", *, heard: str = "", text: str = "",
    error: AvatarError | None = None, form: dict[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    cards = voice_cards(door.settings, uses(door.jobs, caller), caller)
    tags = sorted({tag.partition("-")[0] for card in cards for tag in card.tags if not card.lacking})
    shown = [card for card in cards if not language or any(tag.partition("-")[0] == language for tag in card.tags)]
    return {
        "cards": [card for card in shown if not card.lacking], "lacking": [card for card in shown if card.lacking],
        "languages": [(tag, LANGUAGE_NAMES.get(tag, tag)) for tag in tags],
        "all_languages": sorted(LANGUAGE_NAMES.items(), key=lambda one: one[1]), "language": language,
        "query": urlencode({"language": language, "heard": heard}),
        "heard": _heard(door, caller, heard), "text": text, "error": error, "form": form or _EMPTY, "read": form is not None,
        "wrong": wrong_field(error, _FIELDS, _ASKED_AS),
        "service": service_state(door), "consent_wanted": door.settings.stages.tts.require_consent,
        "listed": bool(cards), "waiting": _being_made(door, caller, "voice"),
    }  # fmt: skip


def _heard(door: Door, caller: Caller, job: str) -> dict[str, str] | None:
    """Return which voice spoke in a job, and the name of its sound; None where that is not to be played."""
    if not JOB_ID.fullmatch(job):
        return None
    try:
        status = door.jobs.status(job, caller)
    except AvatarError:
        return None
    names = [os.path.basename(str(one.get("file"))) for one in status.get("outputs") or () if isinstance(one, dict)]
    sound = next((name for name in reversed(names) if name.endswith((".wav", ".mp3", ".opus", ".flac"))), "")
    spoken = (status.get("stages") or {}).get("tts")
    voice = str(spoken.get("voice") or "") if isinstance(spoken, dict) else ""
    return {"job": job, "state": str(status["state"]), "sound": sound, "voice": voice}


@router.post("/voices/hear")
async def hear_voice(request: Request, door: TheDoor, caller: Looking) -> Response:
    """Have a voice say something, and show the page on which it can be heard."""
    form = {name: values[-1] for name, values in (await form_of(request)).items()}
    voice, said, language = form.get("voice", ""), form.get("text", "").strip()[:_TEXT_CHARS], form.get("language", "")

    def hand_in() -> str:
        card = next(
            (one for one in voice_cards(door.settings, uses(door.jobs, caller), caller) if one.id == voice), None
        )
        if card is None:
            raise JobError("voice-unknown", f"There is no voice {voice[:60]!r}.", "The page of voices has them all.")
        manifest = {"kind": "speech", "text": said or _sample(card), "voice": card.id, "format": "wav"}
        return hand_in_look(door, caller, manifest | ({"language": card.tags[0]} if card.tags else {}), {})

    job = await run_in_threadpool(hand_in)
    status = await wait_for_look(door, caller, job)
    if status["state"] != "done":
        return back(request, f"jobs/{job}")
    query = {"heard": job, "text": said, **({"language": language[:20]} if language else {})}
    return back(request, f"voices?{urlencode(query)}")


def _sample(card: VoiceCard) -> str:
    """Return sentences of the language of a voice.

    Raises:
        JobError: `text-empty`: there are none.
    """
    from stages.tts.engines.plain_sentences import sentences_in

    found = sentences_in(card.tags[0] if card.tags else "en")
    if not found:
        raise JobError("text-empty", f"Nothing is known to say in {card.languages}.", "Type what it is to say.")
    return found


@router.get("/voices/{profile}/recording")
def voice_recording(profile: str, door: TheDoor, caller: Looking) -> Response:
    """Give out the recording that a voice profile was made from."""
    from stages.tts.profile_store import REFERENCE_FILE, ProfileStore

    found = ProfileStore(door.settings.paths.profiles).find_profile(profile)
    SeenProfiles(door.settings, caller).check_seen(found, "voice")
    try:
        with open_inside(door.settings.paths.profiles, f"{found.id}/{REFERENCE_FILE}") as opened:
            fd = os.dup(opened)
    except (JobError, OSError) as exc:
        raise RequestError("file-unknown", f"The recording of {found.name} is gone.", "Make the voice again.") from exc
    return OpenFileResponse(
        fd, headers=_SHOWN, media_type="audio/wav", filename=f"{found.id}.wav", content_disposition_type="inline"
    )


@router.post("/avatars")
async def add_avatar(request: Request, door: TheDoor, caller: Looking) -> Response:
    """Make an avatar of a picture."""
    return await _add(request, door, caller, "avatars", "avatar", "image")


@router.post("/voices")
async def add_voice(request: Request, door: TheDoor, caller: Looking) -> Response:
    """Make a voice of a recording."""
    return await _add(request, door, caller, "voices", "voice", "audio")


async def _add(request: Request, door: Door, caller: Caller, place: Sort, kind: str, part: str) -> Response:
    form, read = dict(_EMPTY), False
    try:
        caller.check_may_submit()
        await run_in_threadpool(door.ledger.check, caller, content_length(request))
        async with received(request, door.jobs.paths.inbox, door.bounds, door.uploads) as (given, got):
            form, read = {key: str(given.get(key) or "").strip() for key in _EMPTY}, True
            path = got.files.get(part)
            if path is None:
                what = "picture" if part == "image" else "recording"
                missing = JobError(
                    "file-missing", f"No {what} was chosen.", f"Choose the {what}, and send the form again."
                )
                raise about(missing, part)
            manifest: dict[str, Any] = {
                "kind": kind, "profile": {key: form[key] for key in ("name", "consent", "expires") if form[key]},
                **{key: form[key] for key in ("voice", "language") if form[key]},
            }  # fmt: skip
            await run_in_threadpool(lambda: door.ledger.add(caller, path.stat().st_size))
            job = (await run_in_threadpool(door.jobs.hand_in, manifest, {part: path}, caller)).job
    except AvatarError as exc:
        made = partial(
            _avatars if place == "avatars" else _voices, door, caller, error=exc, form=form if read else None
        )
        return page(request, f"{place}.html", status_of(exc), **await run_in_threadpool(made))
    return back(request, f"jobs/{job}", f"{form['name'] or 'It'} is being made.")


@router.get("/{place}/{profile}/remove")
def ask_to_remove(request: Request, place: Sort, profile: str, door: TheDoor, caller: Looking) -> Response:
    """Ask whether a profile is to be removed."""
    _check_admin(caller)
    name = _named(_store(door, place), profile)[1]
    return page(request, "profile_remove.html", place=place, profile=profile, name=name)


@router.post("/{place}/{profile}/remove")
async def remove(request: Request, place: Sort, profile: str, door: TheDoor, caller: Looking) -> Response:
    """Remove a profile."""
    _check_admin(caller)

    def now() -> str:
        store = _store(door, place)
        found, name = _named(store, profile)
        store.remove(found)
        return name

    return back(request, place, f"{await run_in_threadpool(now)} is removed.")


def _check_admin(caller: Caller) -> None:
    if not caller.sees_all:
        raise RequestError("not-allowed", "Only admins remove avatars and voices: others may use them.", "Ask one.")


def _store(door: Door, place: Sort) -> ProfileFolders[Any]:
    if place == "avatars":
        return AvatarStore(door.settings.paths.avatars)
    from stages.tts.profile_store import ProfileStore

    return ProfileStore(door.settings.paths.profiles)


def _named(store: ProfileFolders[Any], profile: str) -> tuple[str, str]:
    """Return id and name of a profile, also where it cannot be used.

    Raises:
        JobError: there is none.
    """
    try:
        found = store.find_profile(profile)
    except UnusableProfileError as exc:
        return exc.profile_id, exc.name or exc.profile_id
    return found.id, found.name
