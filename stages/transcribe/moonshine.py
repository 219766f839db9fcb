"""The recogniser `moonshine`: Moonshine tiny, English, whose network comes inside its package (MIT)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daemon.config import Settings
from daemon.errors import MachineError
from daemon.system.installation import how_to_install_extra
from stages.media.wav import Samples
from stages.transcribe.base import RATE, Heard, LoadedRecogniser, Recogniser

_PINS = {"moonshine-voice": "0.1.0"}  # the last release that carries a network
_LANGUAGES = frozenset({"en"})


class _Moonshine:
    def __init__(self, transcriber: Any) -> None:
        self._transcriber = transcriber

    def hear(self, samples: Samples, language: str) -> Heard:
        lines = self._transcriber.transcribe_without_streaming(samples.tolist(), RATE).lines
        return Heard(" ".join(str(line.text).strip() for line in lines), "en")


@contextlib.contextmanager
def _load(_: Settings) -> Iterator[LoadedRecogniser]:
    import moonshine_voice
    from moonshine_voice.transcriber import Transcriber

    folder = Path(moonshine_voice.get_assets_path()) / "tiny-en"
    if not folder.is_dir():  # another release: it would look for one on the network
        raise MachineError(
            "recogniser-unusable",
            f"moonshine-voice has no network in {folder}.",
            how_to_install_extra(RECOGNISER.extra, again=True),
        )
    with Transcriber(folder, moonshine_voice.ModelArch.TINY) as transcriber:
        yield _Moonshine(transcriber)


RECOGNISER = Recogniser(
    "moonshine", "transcribe", ("moonshine_voice",), lambda _: None, lambda _: _LANGUAGES, _load, _PINS
)
