"""Lists the model files of the engine `coqui`: VITS models, published by Coqui as zip files without hashes."""

from __future__ import annotations

from stages.model_files.catalogue import APACHE, ModelFile, ModelPart


def _vits(name: str, what: str, extra: tuple[tuple[str, str], ...] = ()) -> tuple[ModelPart, ...]:
    archive = f"https://github.com/coqui-ai/TTS/releases/download/v0.6.1_models/tts_models--en--{name}--vits.zip"
    files = (("model", "model_file.pth", what), ("config", "config.json", "its shape"))
    return tuple(
        ModelPart(role, words, APACHE, (ModelFile(f"coqui/{name}-vits/{file}", archive=archive),))
        for role, file, words in (*files, *(("speakers", file, words) for file, words in extra))
    )


MODELS = {
    "coqui-ljspeech": _vits("ljspeech", "VITS of LJSpeech, a woman's voice"),
    "coqui-vctk": _vits("vctk", "VITS of VCTK, 109 voices", (("speaker_ids.json", "the names of its voices"),)),
}
