"""Small networks with random weights in the real layout of Coqui's model files, so that the real loading code runs on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from daemon.config import Settings
from stages.model_files.catalogue import sha256_of
from stages.tts.engines.coqui_library import import_coqui
from stages.tts.engines.xtts.text_chunks import LANGUAGES

SPEAKERS = ("Ada", "Bo")
#: 92 MB, and it cannot be smaller: the vocoder's and the speaker encoder's sizes are fixed.
SMALL = {"gpt_layers": 2, "gpt_n_model_channels": 64, "gpt_n_heads": 4, "decoder_input_dim": 64,
         "gpt_num_audio_tokens": 66, "gpt_max_audio_tokens": 90}  # fmt: skip
#: As the published one, but for its alphabet: 1.8 GB. Source: its config.json
FULL = {"gpt_layers": 30, "gpt_n_model_channels": 1024, "gpt_n_heads": 16, "decoder_input_dim": 1024,
        "gpt_num_audio_tokens": 1026, "gpt_max_audio_tokens": 605}  # fmt: skip

#: 6 MB.
SMALL_VITS = {"hidden_channels": 32, "hidden_channels_ffn_text_encoder": 64, "num_layers_text_encoder": 1,
              "num_layers_posterior_encoder": 1, "num_layers_flow": 1, "upsample_initial_channel_decoder": 32}  # fmt: skip


def build_xtts(
    folder: Path, *, legacy: bool = False, stop_bias: float = 0.9, shape: Mapping[str, int] = MappingProxyType(SMALL)
) -> Path:
    """model.pth, config.json, vocab.json and speakers_xtts.pth of a network of the given shape.

    Args:
        legacy: model.pth holds objects of the library's configuration, as the published one does.
        stop_bias: how much more likely than others the code is that ends a sentence; 0.9 makes sentences of one to two seconds.
    """
    folder.mkdir(parents=True)
    _vocabulary().save(str(folder / "vocab.json"))
    kinds, tokens = import_coqui("TTS.tts.configs.xtts_config"), import_coqui("TTS.tts.layers.xtts.tokenizer")
    stop = shape["gpt_num_audio_tokens"] - 1  # the code that ends a sentence
    marks = {"gpt_start_audio_token": stop - 1, "gpt_stop_audio_token": stop, "gpt_use_perceiver_resampler": True}
    config = kinds.XttsConfig(model_args=kinds.XttsArgs(**shape, **marks))
    config.save_json(str(folder / "config.json"))
    torch.manual_seed(7)
    network = import_coqui("TTS.tts.models.xtts").Xtts(config)
    network.tokenizer = tokens.VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))
    network.init_models()
    state = network.state_dict()
    state["gpt.mel_head.bias"][stop] = stop_bias
    _save(folder / "model.pth", config, state, kinds, legacy)
    speakers = {
        name: {
            "gpt_cond_latent": torch.randn(1, 32, shape["gpt_n_model_channels"]),
            "speaker_embedding": torch.randn(1, 512, 1),
        }
        for name in SPEAKERS
    }
    torch.save(speakers, folder / "speakers_xtts.pth")
    return folder


def xtts_settings(models: Path, paths: dict[str, str] | None = None, **options: Any) -> Settings:
    """Return an installation that trusts the model that lies there, and keeps what random weights say."""
    model = models / "xtts" / "model.pth"
    known = {"accept_licence": True, "model_sha256": sha256(model) if model.exists() else ""}
    folders = {"models": str(models), "cache": str(models / "cache"), **(paths or {})}
    return Settings.model_validate(
        {"paths": folders, "stages": {"tts": {"check_speech": False, "xtts": {**known, **options}}}}
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return sha256_of(path)


def _vocabulary() -> Tokenizer:
    special = ["[STOP]", "[UNK]", "[SPACE]", *(f"[{language}]" for language in LANGUAGES), "[START]"]
    letters = sorted("abcdefghijklmnopqrstuvwxyz0123456789.,!?;:'-")
    tokenizer = Tokenizer(
        models.BPE(vocab={text: number for number, text in enumerate(special + letters)}, merges=[], unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(special)
    return tokenizer


def _save(path: Path, config: Any, state: dict[str, Any], kinds: Any, legacy: bool) -> None:
    moved = (kinds.XttsArgs, kinds.XttsAudioConfig)  # they lived elsewhere when the published file was made
    home = kinds.XttsArgs.__module__
    try:
        if legacy:
            for kind in moved:
                kind.__module__ = "TTS.tts.models.xtts"
        torch.save({"config": config if legacy else config.to_dict(), "model": state}, path)
    finally:
        for kind in moved:
            kind.__module__ = home


def build_vits(
    folder: Path, speakers: tuple[str, ...] = (), shape: Mapping[str, int] = MappingProxyType(SMALL_VITS)
) -> Path:
    """model_file.pth, config.json and, with `speakers`, speaker_ids.json; as large as the published ones without a `shape`."""
    folder.mkdir(parents=True)
    kinds = import_coqui("TTS.tts.configs.vits_config")
    made: dict[str, Any] = {**shape, "init_discriminator": False}
    if speakers:
        path = folder / "speaker_ids.json"
        path.write_text(json.dumps({name: number for number, name in enumerate(speakers)}))
        made |= {"use_speaker_embedding": True, "speakers_file": str(path), "speaker_embedding_channels": 16}
    vits = import_coqui("TTS.tts.models.vits")
    config = kinds.VitsConfig(model_args=kinds.VitsArgs(**made), use_phonemes=False, add_blank=True)
    config.characters = vits.VitsCharacters().to_config()
    config.characters.characters_class = "TTS.tts.models.vits.VitsCharacters"
    torch.manual_seed(7)
    network = vits.Vits(config)
    torch.save({"config": {}, "model": network.state_dict(), "optimizer": None}, folder / "model_file.pth")
    config.use_phonemes, config.phonemizer, config.phoneme_language = (
        True,
        "espeak",
        "en-us",
    )  # as the published ones say
    if speakers:
        config.model_args.speakers_file = "/where/it/was/trained/speaker_ids.json"
    raw = json.loads(json.dumps(config.to_dict()))
    raw["model_args"]["num_speakers"] = len(speakers)  # a key that the library has since given up
    (folder / "config.json").write_text(json.dumps(raw))
    return folder
