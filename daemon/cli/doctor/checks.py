"""What `avatar doctor` looks at, one thing after the other. None of it changes anything, and none of it may end the doctor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions

from daemon.cli.doctor.cluster_checks import check_cluster
from daemon.cli.doctor.engine_imports import first_line, installed_engines, try_imports
from daemon.cli.doctor.finding import Finding, Verdict
from daemon.cli.doctor.folder_checks import access_finding, check_avatars, check_folders, check_free_disk
from daemon.cli.doctor.gpu_checks import check_gpu
from daemon.cli.doctor.hook_checks import check_hooks
from daemon.cli.doctor.speech_checks import check_speech
from daemon.cli.doctor.voice_checks import check_default_voice, check_voice_engines
from daemon.config import Settings
from daemon.errors import AvatarError
from daemon.system import installation
from daemon.system.memory import limit_mb, machine_mb, memory_mb


def _python(settings: Settings) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] <= (3, 12)
    how = "as root, `make install PYTHON=/usr/bin/python3.12`" if installation.is_service() else "`make setup`"
    yield Finding(
        "python", "good" if fits else "bad", version, "" if fits else f"Python 3.11 or 3.12 is needed: {how}."
    )


def check_module_name(settings: Settings) -> Iterator[Finding]:
    """Yield a finding where another package has a module `daemon`, too: the one installed last replaces the other's files."""
    owners = set(packages_distributions().get("daemon", ())) - {"avatard"}
    if owners:
        named = ", ".join(sorted(owners))
        yield Finding(
            "module daemon",
            "bad",
            f"{named} has a module of this name, too, in the same environment",
            f"Uninstall {named} here, and install avatard again.",
        )


def _installation(settings: Settings) -> Iterator[Finding]:
    """Yield what tools/install.sh installed, for whoever installs the same on another machine."""
    if installation.is_service():
        known = installation.recorded()
        remedy = "" if known else "`make install`, as root in a checkout of this version, writes it."
        yield Finding(
            "installation", "good" if known else "note", known or f"{installation.RECORD} is not there", remedy
        )


def _ffmpeg(settings: Settings) -> Iterator[Finding]:
    """Yield the ffmpeg in use, and the one that encodes videos if that is another."""
    from stages.encode.formats.choose_encoder import encoding_ffmpeg
    from stages.media.ffmpeg import ffmpeg_path
    from stages.media.ffmpeg_encoders import listed_encoders

    try:
        path = ffmpeg_path()
        listed_encoders(path)
    except AvatarError as exc:
        yield Finding("ffmpeg", "bad", exc.message.rstrip("."), f"{installation.how_to_repair()} It brings an ffmpeg.")
        return
    yield Finding("ffmpeg", "good", path)
    try:
        path = encoding_ffmpeg(settings.stages.encode)
        listed = listed_encoders(path)
    except AvatarError as exc:
        remedy = "Correct stages.encode.ffmpeg, or set it to null: the set-up brings an ffmpeg."
        yield Finding("video encoder", "bad", exc.message.rstrip("."), remedy)
        return
    yield from _video_formats(settings, path, listed)


def _video_formats(settings: Settings, path: str, listed: frozenset[str]) -> Iterator[Finding]:
    """Yield the encoder of usual videos, and formats that cannot be encoded."""
    from stages.encode.captions import burn
    from stages.encode.formats import FORMATS, fine_areas
    from stages.encode.formats.choose_encoder import choose_encoder
    from stages.media.ffmpeg_encoders import listed_filters

    usual, *others = FORMATS
    try:
        choice = choose_encoder(settings.stages.encode, usual, 512, 512)
    except AvatarError as exc:
        yield Finding("video encoder", "bad", exc.message.rstrip("."), exc.hint)
    else:
        yield Finding("video encoder", "good", f"{choice.encoder.name} ({choice.why})")
    for title, missing in {
        form.title: [name for name in form.encoders if name not in listed] for form in others
    }.items():
        if missing:
            remedy = (
                "Nothing to do unless jobs ask for it; the ffmpeg that the set-up brings has it: stages.encode.ffmpeg."
            )
            yield Finding("video formats", "note", f"{path} lacks {', '.join(missing)} for {title}", remedy)
    filters = {burn.FILTER: "`captions: burn`", fine_areas.FILTER: "finer eyes and mouths"}
    if lacking := [f"{name} for {title}" for name, title in filters.items() if name not in listed_filters(path)]:
        remedy = "Nothing to do unless it is missed; the ffmpeg that the set-up brings has it: stages.encode.ffmpeg."
        yield Finding("video filters", "note", f"{path} lacks {', '.join(lacking)}", remedy)


def _engines(settings: Settings) -> Iterator[Finding]:
    for engine, works, found in try_imports(installed_engines()):
        if works:
            yield Finding(f"engine {engine.name}", "good", f"{engine.package} {found}")
        elif engine.needed:
            yield Finding(f"engine {engine.name}", "bad", found, installation.how_to_repair())
        else:
            asked = settings.stages.lipsync.engine == engine.name
            remedy = f"Only for the engine {engine.name}. {installation.how_to_install_extra(engine.extra)}"
            yield Finding(f"engine {engine.name}", "bad" if asked else "note", found, remedy)


def _models(settings: Settings) -> Iterator[Finding]:
    from stages.generate.model_files import MODELS
    from stages.generate.ready import ENGINE
    from stages.lipsync.registry import ENGINES
    from stages.model_files.catalogue import check_model_files

    wanted = [
        (engine.name, name, engine.models[name])
        for engine in ENGINES.values()
        if engine.models and (name := engine.model(settings))
    ]
    for engine, name, parts in (*wanted, (ENGINE, ENGINE, MODELS[ENGINE])):
        found = check_model_files(parts, settings.paths.models)
        damaged = [f"{look.file.path} ({look.why})" for look in found if look.state == "damaged"]
        missing = [look.file.path for look in found if look.state == "missing"]
        others = "".join(f"; {look.why}" for look in found if look.state == "missing" and look.why)
        what, fetch = f"{name}'s model files", installation.how_to_fetch_models(name)
        if damaged:
            yield Finding(what, "bad", f"damaged: {', '.join(damaged)}", f"Remove them. {fetch}")
        elif missing:
            remedy = f"Only for the engine {engine}. {fetch} `avatar models list` shows all."
            verdict: Verdict = "bad" if settings.stages.lipsync.engine == engine else "note"
            yield Finding(what, verdict, f"{len(missing)} of {len(found)} missing, first {missing[0]}{others}", remedy)
        else:
            yield Finding(what, "good", str(settings.paths.models))


def _memory(settings: Settings) -> Iterator[Finding]:
    limit, child = limit_mb(), settings.lanes.memory_mb or memory_mb() / 2
    found = f"{machine_mb():.0f} MB"
    if limit is not None and limit < machine_mb():
        found += f", of which the control group allows {limit:.0f} MB"
    found += f"; a worker may take {child:.0f} MB"
    fits = child <= memory_mb()
    yield Finding("memory", "good" if fits else "bad", found, "" if fits else "Lower lanes.memory_mb, or set it to 0.")


#: What is looked at, by what it is called where the look itself fails.
CHECKS: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "installation": _installation,
    "python": _python,
    "module daemon": check_module_name,
    "ffmpeg": _ffmpeg,
    "engines": _engines,
    "model files": _models,
    "default voice": check_default_voice,
    "voices": check_voice_engines,
    "speech": check_speech,
    "folders": check_folders,
    "avatars": check_avatars,
    "hooks": check_hooks,
    "free disk": check_free_disk,
    "memory": _memory,
    "gpu": check_gpu,
    "ray": check_cluster,
}


def collect_findings(settings: Settings) -> Iterator[Finding]:
    """All of them; a look that fails is a finding."""
    for what, check in CHECKS.items():
        try:
            yield from check(settings)
        except PermissionError as exc:
            yield access_finding(what, exc)
        except AvatarError as exc:
            yield Finding(what, "bad", exc.message, exc.hint)
        except ImportError as exc:
            yield Finding(what, "bad", f"the Python module {exc.name} cannot be imported", installation.how_to_repair())
        except OSError as exc:
            where = f"{exc.filename}: " if exc.filename else ""
            yield Finding(what, "bad", f"{where}{exc.strerror or exc}", "Look at the disk or mount it lies on.")
        except Exception as exc:
            found = f"this could not be looked at: {first_line(exc)}"
            yield Finding(
                what, "bad", found, "It is a fault of this program: report it with the version and this line."
            )
