"""The model files of the engine `musetalk`. Sizes and hashes are the publishers' records (Hugging Face file pointers)."""

from __future__ import annotations

from stages.model_files.catalogue import APACHE, MIT, ModelFile, ModelPart

#: Licence of MuseTalk's weights.
OPENRAIL = "weights tagged CreativeML OpenRAIL-M (use restrictions); the README allows any use; code MIT"
_MUSETALK = ("TMElyralab/MuseTalk", "3ef28bc5cff08c90ad8178a25f1b570cd800170f")
_VAE = ("stabilityai/sd-vae-ft-mse", "31f26fdeee1355a5c34592e401dd41e45d25a493")
_WHISPER = ("openai/whisper-tiny", "169d4a4341b33bc18d8881c4b69c2e104e1cc0af")
_UNET_CONFIG = "5b6923aee04d71692e0e9846c471e0a4ea07a4f686d39545e472bd4ba17e1b47"

_SHARED = (
    ModelPart("vae", "image autoencoder sd-vae-ft-mse", MIT, (
        ModelFile("sd-vae/diffusion_pytorch_model.safetensors", *_VAE, "diffusion_pytorch_model.safetensors",
                  334_643_276, "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815"),
        ModelFile("sd-vae/diffusion_pytorch_model.bin", *_VAE, "diffusion_pytorch_model.bin",
                  334_707_217, "1b4889b6b1d4ce7ae320a02dedaeff1780ad77d415ea0d744b476155c6377ddc"),
        ModelFile("sd-vae-ft-mse/diffusion_pytorch_model.safetensors"),  # forks keep it under its own name
        ModelFile("sd-vae-ft-mse/diffusion_pytorch_model.bin"),
    )),
    ModelPart("vae_config", "its shape", MIT, (
        ModelFile("sd-vae/config.json", *_VAE, "config.json",
                  547, "92d3dfb746fca211a2c9e019e285f8597412211728dce3c5bcf4eda0f2d62e7e"),
        ModelFile("sd-vae-ft-mse/config.json"),
    )),
    ModelPart("whisper", "Whisper tiny, whose encoder hears the sound", APACHE, (
        ModelFile("whisper/model.safetensors", *_WHISPER, "model.safetensors",
                  151_061_672, "7ebd0e69e78190ffe1438491fa05cc1f5c1aa3a4c4db3bc1723adbb551ea2395"),
        ModelFile("whisper/pytorch_model.bin", *_WHISPER, "pytorch_model.bin",
                  0, "9607f98a2b22d9e229ae43c52ecea79dcede9e0c5cfae67e8da6eda86d8aac1d"),
    ), unread=(("whisper/tiny.pt", "has OpenAI's own format, which is not read"),)),
    ModelPart("whisper_config", "its shape", APACHE, (
        ModelFile("whisper/config.json", *_WHISPER, "config.json",
                  1_983, "ffdccec4f3211f4c63310f2b7098f309fe70f3952cedc5e4d11e43f5b2379b98"),
    )),
)  # fmt: skip

_PARSER = ModelPart(
    "parser", "the public implementation's face-parsing network, for `stages.lipsync.musetalk.mask: parsing`",
    "code MIT; trained on CelebAMask-HQ, a data set for non-commercial use", (
        ModelFile("face-parse-bisent/79999_iter.safetensors"),
        ModelFile("face-parse-bisent/79999_iter.pth", "ManyOtherFunctions/face-parse-bisent",
                  "0073b233a5a3c4b1377d4dbf49245017938a72b5", "79999_iter.pth",
                  53_289_463, "468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567"),
    ),
)  # fmt: skip


def _unet(version: str, folder: str, weights: str, size: int, sha256: str) -> tuple[ModelPart, ...]:
    stem = weights.rsplit(".", 1)[0]
    return (
        ModelPart("unet", f"MuseTalk {version}'s UNet", OPENRAIL, (
            ModelFile(f"{folder}/{stem}.safetensors"),
            ModelFile(f"{folder}/{weights}", *_MUSETALK, f"{folder}/{weights}", size, sha256),
        )),
        ModelPart("unet_config", "its shape", OPENRAIL, (
            ModelFile(f"{folder}/musetalk.json", *_MUSETALK, f"{folder}/musetalk.json", 748, _UNET_CONFIG),
        )),
    )  # fmt: skip


#: Model files by the names that `avatar models` uses.
MODELS: dict[str, tuple[ModelPart, ...]] = {
    "musetalk": _unet("1.5", "musetalkV15", "unet.pth", 3_400_074_924,
                      "7ebf6c98c181e20838e4c0054e96e944ac60d5d692cc01db42839fe11b787007") + _SHARED,
    "musetalk-v1": _unet("1.0", "musetalk", "pytorch_model.bin", 3_400_076_549, "") + _SHARED,
    "face-parsing": (_PARSER,),
}  # fmt: skip
