"""Finds Piper voices in the models folder and reads their settings and model cards. Loads no network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.model_files.catalogue import MODEL_CARD
from stages.tts.engines.piper.model_files import FOLDER

#: Symbols with which the network expects a text to begin and end, and which stands between all others.
START, END, PAD = "^", "$", "_"
NO_LICENCE = "not stated: no MODEL_CARD lies beside the voice"
_CARD_LINE = re.compile(r"^\W*licen[cs]e\W*[:：]\W*(.+?)\s*$", re.IGNORECASE | re.MULTILINE)
_FINE_TUNED = re.compile(r"^\W*(fine-?tuned from .+?)[\s.]*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class VoiceSettings:
    """The settings of a voice, from its JSON file.

    Attributes:
        language: BCP 47 tag.
        dataset: short name of the voice.
        sample_rate: Hz.
        espeak_voice: voice of espeak-ng whose phonemes the network was trained with.
        ids: symbol → its numbers for the network.
        noise_scale, length_scale, noise_w: variation of the sound, pace, and variation of the durations.
        speakers: name → number; empty for a voice of one speaker.
    """

    language: str
    dataset: str
    sample_rate: int
    espeak_voice: str
    ids: Mapping[str, tuple[int, ...]]
    noise_scale: float
    length_scale: float
    noise_w: float
    speakers: Mapping[str, int]


def find_networks(models: Path) -> Iterator[Path]:
    """Yield the network of each voice in the models folder, in any folder below its own, by name."""
    yield from sorted((models / FOLDER).rglob("*.onnx"), key=lambda path: (path.stem, str(path)))


def settings_file(network: Path) -> Path:
    """Return the path of a network's settings, which lie beside it."""
    return network.with_name(f"{network.name}.json")


def read_settings(network: Path) -> VoiceSettings:
    """Read the settings of a voice.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not the settings of a voice that can be used here; says why.
    """
    try:
        raw: dict[str, Any] = json.loads(settings_file(network).read_bytes())
        kind = str(raw.get("phoneme_type", "espeak"))
        if kind != "espeak":
            raise ValueError(f"it was trained with '{kind}' in place of espeak-ng's phonemes, which is not supported")
        voice = str(raw["espeak"]["voice"])
        scales = raw.get("inference", {})
        found = VoiceSettings(
            language=_language_tag(str(raw.get("language", {}).get("code") or voice)),
            dataset=str(raw.get("dataset") or ""),
            sample_rate=int(raw["audio"]["sample_rate"]),
            espeak_voice=voice,
            ids={str(symbol): tuple(map(int, ids)) for symbol, ids in raw["phoneme_id_map"].items()},
            noise_scale=float(scales.get("noise_scale", 0.667)),
            length_scale=float(scales.get("length_scale", 1.0)),
            noise_w=float(scales.get("noise_w", 0.8)),
            speakers={str(name): int(number) for name, number in (raw.get("speaker_id_map") or {}).items()},
        )
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"it lacks settings of a Piper voice ({exc})") from exc
    if not {START, END, PAD} <= set(found.ids) or found.sample_rate <= 0 or found.length_scale <= 0:
        raise ValueError("its settings are not those of a Piper voice")
    return found


def read_licence(network: Path) -> str:
    """Return the licence of a voice, as its model card states it.

    A card named MODEL_CARD belongs to the voice that is alone in its folder; NAME.MODEL_CARD belongs to NAME.onnx.
    """
    named = network.with_name(f"{network.stem}.{MODEL_CARD}")
    alone = len(list(network.parent.glob("*.onnx"))) == 1
    for card in (named, *((network.with_name(MODEL_CARD),) if alone else ())):
        try:
            text = card.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        stated = _CARD_LINE.search(text)
        tuned = _FINE_TUNED.search(text)
        licence = stated[1] if stated else "not stated in its MODEL_CARD"
        return f"{licence}; {tuned[1]}" if tuned else licence
    return NO_LICENCE


def _language_tag(code: str) -> str:
    """Return the BCP 47 tag of "de_DE" or "en-us"."""
    language, _, region = code.replace("_", "-").partition("-")
    return f"{language.lower()}-{region.upper()}" if re.fullmatch("[A-Za-z]{2}", region) else language.lower()
