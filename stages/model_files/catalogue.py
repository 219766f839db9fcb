"""The model files an engine needs: what they are, where they are looked for, whether they are whole. Loads none of them.

Sizes and hashes: the publishers' records (Hugging Face file pointers) as quoted, alike, in several public manifests.
Where no hash is known, structure and size are checked instead.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stages.tts.engines.kokoro import model_files

State = Literal["good", "other", "damaged", "missing"]

OPENRAIL = "weights tagged CreativeML OpenRAIL-M (use restrictions); the README allows any use; code MIT"
MIT, APACHE = "MIT", "Apache-2.0"
CPML = "Coqui Public Model License: the weights and all they say for NON-COMMERCIAL use only"


@dataclass(frozen=True)
class Member:
    """A file inside a package of the Python registry: the requirement, the package's sha256, the path in it."""

    requirement: str
    sha256: str
    path: str


@dataclass(frozen=True)
class ModelFile:
    """One file. `repo` and `members` are empty for files nobody publishes (a conversion made by the operator).

    Attributes:
        path: below the models folder; the layout the model's own users have.
        repo, revision, remote: where it is published on Hugging Face.
        members: or the packages it lies in; several members, joined, are the file.
        archive: or the address of the zip file it lies in, under its own name.
        size: bytes, 0 where not known.
        sha256: empty where not known.
    """

    path: str
    repo: str = ""
    revision: str = ""
    remote: str = ""
    size: int = 0
    sha256: str = ""
    members: tuple[Member, ...] = ()
    archive: str = ""

    @property
    def source(self) -> str:
        """Where it is published, in words; empty where nowhere."""
        if self.repo:
            return f"https://huggingface.co/{self.repo}"
        return self.archive or ", ".join(member.requirement for member in self.members)


@dataclass(frozen=True)
class Part:
    """One thing an engine needs. Any of `files` will do; the first that is there is used, the first published fetched."""

    role: str
    what: str
    licence: str
    files: tuple[ModelFile, ...]

    def find(self, root: Path) -> ModelFile | None:
        """The file of this part that is there."""
        return next((file for file in self.files if (root / file.path).is_file()), None)

    @property
    def published(self) -> ModelFile:
        return next(file for file in self.files if file.source)


_MUSETALK = ("TMElyralab/MuseTalk", "3ef28bc5cff08c90ad8178a25f1b570cd800170f")
_VAE = ("stabilityai/sd-vae-ft-mse", "31f26fdeee1355a5c34592e401dd41e45d25a493")
_WHISPER = ("openai/whisper-tiny", "169d4a4341b33bc18d8881c4b69c2e104e1cc0af")
_UNET_CONFIG = "5b6923aee04d71692e0e9846c471e0a4ea07a4f686d39545e472bd4ba17e1b47"

_XTTS = ("coqui/XTTS-v2", "6c2b0d75eae4b7047358e3b6bd9325f857d43f77")

_SHARED = (
    Part("vae", "image autoencoder sd-vae-ft-mse", MIT, (
        ModelFile("sd-vae/diffusion_pytorch_model.safetensors", *_VAE, "diffusion_pytorch_model.safetensors",
                  334_643_276, "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815"),
        ModelFile("sd-vae/diffusion_pytorch_model.bin", *_VAE, "diffusion_pytorch_model.bin",
                  334_707_217, "1b4889b6b1d4ce7ae320a02dedaeff1780ad77d415ea0d744b476155c6377ddc"),
    )),
    Part("vae_config", "its shape", MIT, (
        ModelFile("sd-vae/config.json", *_VAE, "config.json",
                  547, "92d3dfb746fca211a2c9e019e285f8597412211728dce3c5bcf4eda0f2d62e7e"),
    )),
    Part("whisper", "Whisper tiny, whose encoder hears the sound", APACHE, (
        ModelFile("whisper/model.safetensors", *_WHISPER, "model.safetensors",
                  151_061_672, "7ebd0e69e78190ffe1438491fa05cc1f5c1aa3a4c4db3bc1723adbb551ea2395"),
        ModelFile("whisper/pytorch_model.bin", *_WHISPER, "pytorch_model.bin",
                  0, "9607f98a2b22d9e229ae43c52ecea79dcede9e0c5cfae67e8da6eda86d8aac1d"),
    )),
    Part("whisper_config", "its shape", APACHE, (
        ModelFile("whisper/config.json", *_WHISPER, "config.json",
                  1_983, "ffdccec4f3211f4c63310f2b7098f309fe70f3952cedc5e4d11e43f5b2379b98"),
    )),
)  # fmt: skip

_PARSER = Part(
    "parser", "the public implementation's face-parsing network, for `stages.lipsync.musetalk.mask: parsing`",
    "code MIT; trained on CelebAMask-HQ, a data set for non-commercial use", (
        ModelFile("face-parse-bisent/79999_iter.safetensors"),
        ModelFile("face-parse-bisent/79999_iter.pth", "ManyOtherFunctions/face-parse-bisent",
                  "0073b233a5a3c4b1377d4dbf49245017938a72b5", "79999_iter.pth",
                  53_289_463, "468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567"),
    ),
)  # fmt: skip


def _unet(version: str, folder: str, weights: str, size: int, sha256: str) -> tuple[Part, ...]:
    stem = weights.rsplit(".", 1)[0]
    return (
        Part("unet", f"MuseTalk {version}'s UNet", OPENRAIL, (
            ModelFile(f"{folder}/{stem}.safetensors"),
            ModelFile(f"{folder}/{weights}", *_MUSETALK, f"{folder}/{weights}", size, sha256),
        )),
        Part("unet_config", "its shape", OPENRAIL, (
            ModelFile(f"{folder}/musetalk.json", *_MUSETALK, f"{folder}/musetalk.json", 748, _UNET_CONFIG),
        )),
    )  # fmt: skip


def _kokoro() -> tuple[Part, ...]:
    network = ModelFile(
        model_files.NETWORK, size=model_files.NETWORK_BYTES, sha256=model_files.NETWORK_SHA256,
        members=tuple(Member(*part) for part in model_files.NETWORK_PARTS),
    )  # fmt: skip
    parts = [Part("network", "Kokoro-82M, int8", f"{APACHE}; the export {MIT}", (network,))]
    for name, sha256 in model_files.VOICES.items():
        member = Member(*model_files.VOICES_PACKAGE, f"{model_files.VOICES_IN_PACKAGE}/{name}.bin")
        file = ModelFile(model_files.voice_file(name), size=model_files.VOICE_BYTES, sha256=sha256, members=(member,))
        parts.append(Part(f"voice {name}", "a voice", APACHE, (file,)))
    return tuple(parts)


_XTTS_PARTS = (
    Part("model", "XTTS v2.0.3, the voice network", CPML, (
        ModelFile("xtts/model.pth", *_XTTS, "model.pth",
                  1_867_929_118, "c7ea20001c6a0a841c77e252d8409f6a74fb423e79b3206a0771ba5989776187"),
    )),
    Part("config", "its shape", CPML, (
        ModelFile("xtts/config.json", *_XTTS, "config.json",
                  4_368, "ef262b1454dd2a77e1461b0b2cd53e19b8a7624cc131b837d36df67356bc75e8"),
    )),
    Part("vocab", "its alphabet", CPML, (
        ModelFile("xtts/vocab.json", *_XTTS, "vocab.json",
                  361_219, "928260878a59da8a72a2a5b7687fea29d5106137669d90945430fe17e415304a"),
    )),
    Part("speakers", "the voices that come with it", CPML, (
        ModelFile("xtts/speakers_xtts.pth", *_XTTS, "speakers_xtts.pth",
                  7_754_818, "f0f6137c19a4eab0cbbe4c99b5babacf68b1746e50da90807708c10e645b943b"),
    )),
)  # fmt: skip


def _vits(name: str, what: str, extra: tuple[tuple[str, str], ...] = ()) -> tuple[Part, ...]:
    """A VITS model of Coqui's; its hashes are not published."""
    archive = f"https://github.com/coqui-ai/TTS/releases/download/v0.6.1_models/tts_models--en--{name}--vits.zip"
    files = (("model", "model_file.pth", what), ("config", "config.json", "its shape"))
    return tuple(
        Part(role, words, APACHE, (ModelFile(f"coqui/{name}-vits/{file}", archive=archive),))
        for role, file, words in (*files, *(("speakers", file, words) for file, words in extra))
    )


#: What each engine needs, by the name `avatar models` knows it by.
ENGINES: dict[str, tuple[Part, ...]] = {
    "musetalk": _unet("1.5", "musetalkV15", "unet.pth", 3_400_074_924,
                      "7ebf6c98c181e20838e4c0054e96e944ac60d5d692cc01db42839fe11b787007") + _SHARED,
    "musetalk-v1": _unet("1.0", "musetalk", "pytorch_model.bin", 3_400_076_549, "") + _SHARED,
    "face-parsing": (_PARSER,),
    "kokoro": _kokoro(),
    "xtts": _XTTS_PARTS,
    "coqui-ljspeech": _vits("ljspeech", "VITS of LJSpeech, a woman's voice"),
    "coqui-vctk": _vits("vctk", "VITS of VCTK, 109 voices", (("speaker_ids.json", "the names of its voices"),)),
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What is there of one part.

    Attributes:
        file: the one that is used, or, where none is there, the one to fetch.
        state: good; other (whole, but not the published file); damaged; missing.
        why: what is wrong or other, in words.
    """

    part: Part
    file: ModelFile
    state: State
    why: str = ""

    @property
    def usable(self) -> bool:
        return self.state in ("good", "other")


def survey(
    engine: str, root: Path, *, deep: bool = False, progress: Callable[[int], None] | None = None
) -> list[Found]:
    """Look at every file of an engine.

    Args:
        engine: a key of `ENGINES`.
        root: the models folder.
        deep: read the files whole and compare their sha256; otherwise only sizes and structure are looked at.
        progress: told how many bytes were read.
    """
    return [_look(part, root, deep, progress) for part in ENGINES[engine]]


def _look(part: Part, root: Path, deep: bool, progress: Callable[[int], None] | None) -> Found:
    file = part.find(root)
    if file is None:
        return Found(part, part.published, "missing")
    path = root / file.path
    size = path.stat().st_size
    if file.members:  # no structure to look at, and nobody makes others of it
        if size != file.size:
            return Found(part, file, "damaged", f"{size:,} bytes; the published file has {file.size:,}")
    elif why := damage(path):
        return Found(part, file, "damaged", why)
    if file.size and size != file.size:
        return Found(part, file, "other", f"{size:,} bytes; the published file has {file.size:,}")
    if deep and file.sha256 and (digest := sha256_of(path, progress)) != file.sha256:
        return Found(part, file, "other", f"its sha256 is {digest}; the published file's is {file.sha256}")
    if not file.sha256:
        return Found(part, file, "other" if not file.source else "good", "no published hash is known; it is whole")
    return Found(part, file, "good")


def damage(path: Path) -> str:
    """Why a model file cannot be whole, by its structure alone; empty when nothing speaks against it. Cheap."""
    try:
        if path.suffix == ".json":
            return "" if isinstance(json.loads(path.read_bytes()), dict) else "it is not a JSON object"
        if path.suffix == ".safetensors":
            return _safetensors_damage(path)
        if not zipfile.is_zipfile(path):
            return "it is not a PyTorch file, or its end is missing"
    except (OSError, ValueError) as exc:
        return f"it cannot be read ({exc})"
    return ""


def _safetensors_damage(path: Path) -> str:
    """The header says how long the file must be."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            return "it is not a safetensors file, or its header is cut off"
        header = json.loads(stream.read(length))
    end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    if size < 8 + length + end:
        return f"{8 + length + end - size:,} bytes are missing at its end"
    return "" if size == 8 + length + end else "it is longer than its header says"


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """Hash a file in constant memory."""
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
        if progress:
            progress(len(block))
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            yield block
