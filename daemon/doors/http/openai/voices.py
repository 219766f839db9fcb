"""Says which of our voices and engines clients of OpenAI's door mean, and lists them as such clients expect it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from daemon.doors.http.description.answers import SpeechVoice
from daemon.doors.http.problems import RequestError

#: OpenAI's names of models. Each means: whatever engine the voice has.
MODELS: Final = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
#: OpenAI's names of voices. A voice here of the same name is meant; without one, the default voice.
THEIRS: Final = frozenset(
    "alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse".split()  # noqa: SIM905 (a list of words)
)
_DEFAULT: Final = "default"


class VoiceNames:
    """The names of voices and models that a client may use.

    Args:
        published: the daemon's list of voices, as it lies in the outbox.
        table: `server.voices`: other name → name of ours.
    """

    def __init__(self, published: Mapping[str, Any], table: Mapping[str, str]) -> None:
        rows = published.get("voices")
        self._rows: Sequence[Mapping[str, Any]] = [
            row
            for row in (rows if isinstance(rows, list) else [])
            if isinstance(row, dict) and row.get("installed") and all(_is_text(row.get(key)) for key in _KEYS)
        ]
        self._table = {name.casefold(): ours for name, ours in table.items()}

    def ours(self, voice: str, model: str) -> str:
        """Return what a manifest says for a voice. One that is not known stays as it is: the job says which was meant.

        Raises:
            RequestError: `model-unknown`.
        """
        wanted = voice.strip()
        wanted = self._table.get(wanted.casefold(), wanted)
        engine = "" if model in MODELS else model
        if engine and engine not in self.engines:
            raise RequestError(
                "model-unknown",
                f"There is no model {model[:80]!r}.",
                f"Use one of {', '.join(self.models)}.",
                errors=[{"pointer": "#/model", "detail": "it is not known"}],
            )
        named = [row for row in self._rows if _is_called(row, wanted) and engine in ("", row["engine"])]
        if named:
            return str(named[0]["id"]) if engine else wanted
        if wanted.casefold() not in (*THEIRS, _DEFAULT):
            return wanted
        return next((str(row["id"]) for row in self._rows if row["engine"] == engine), _DEFAULT)

    @property
    def engines(self) -> list[str]:
        """The engines that have a voice here."""
        return sorted({str(row["engine"]) for row in self._rows})

    @property
    def models(self) -> list[str]:
        """The names of models."""
        return [*MODELS, *self.engines]

    @property
    def listed(self) -> list[SpeechVoice]:
        """Every voice that can be used: `id`, which is unique where `name` is not, and `name`; those of the table last."""
        names = [str(row["name"]) for row in self._rows]
        mine: list[SpeechVoice] = [
            {"id": str(row["id"]) if names.count(str(row["name"])) > 1 else str(row["name"]), "name": str(row["name"])}
            for row in self._rows
        ]
        known = {one["id"].casefold() for one in mine}
        return mine + [{"id": name, "name": name} for name in self._table if name not in known]


_KEYS: Final = ("id", "name", "engine")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_called(row: Mapping[str, Any], wanted: str) -> bool:
    aliases = row.get("aliases")
    names = [row["id"], row["name"], *(aliases if isinstance(aliases, list) else [])]
    return wanted.casefold() in (str(name).casefold() for name in names)
