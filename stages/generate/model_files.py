"""The model files of SDXL, in the published layout.

Sizes and hashes are those that several public projects list for the revision below; they could not be compared with the
publisher's.
"""

from __future__ import annotations

from typing import Final

from stages.model_files.catalogue import ModelFile, ModelPart

#: Folder below the models folder, in the published layout.
FOLDER = "stable-diffusion-xl-base-1.0"
#: Name of the model in the status and in profiles.
MODEL = "SDXL base 1.0"
LICENCE = "CreativeML Open RAIL++-M (use restrictions, also for what is made with it)"
_SOURCE = ("stabilityai/stable-diffusion-xl-base-1.0", "462165984030d82259a11f4367a4eed129e94a7b")
_MERGES = (524_619, "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a")
_VOCAB = (1_059_962, "e089ad92ba36837a0d31433e555c8f45fe601ab5c221d4f607ded32d9f7a4349")
#: The mark of files in half precision.
_HALF = ".fp16"


def _file(path: str, size: int = 0, sha256: str = "") -> ModelFile:
    return ModelFile(f"{FOLDER}/{path}", *_SOURCE, path, size, sha256)


def _small(role: str, what: str, path: str, size: int, sha256: str) -> ModelPart:
    return ModelPart(role, what, LICENCE, (_file(path, size, sha256),))


def _weights(folder: str, what: str, stem: str, size: int, sha256: str) -> ModelPart:
    """The weights in half precision, which are fetched, or in full, of which no hash is listed."""
    half, full = f"{folder}/{stem}{_HALF}.safetensors", f"{folder}/{stem}.safetensors"
    return ModelPart(folder, what, LICENCE, (_file(half, size, sha256), _file(full)))


#: The networks, by the names of their folders.
NETWORKS: Final[tuple[str, ...]] = ("unet", "vae", "text_encoder", "text_encoder_2")
_PARTS = (
    _small("index", "what belongs to the model", "model_index.json",
           609, "6d7b93508390ab91ac5bfbe4aeb4dc2d83f7bb1b05fb069d714b5b0c75f70d44"),
    _weights("unet", "the network that draws", "diffusion_pytorch_model",
             5_135_149_760, "83e012a805b84c7ca28e5646747c90a243c65c8ba4f070e2d7ddc9d74661e139"),
    _small("unet_config", "its shape", "unet/config.json",
           1_680, "30ebc70750223e59006f7f2b4e1e6c102570aa19a9c4ae3e1fbe7591332dbae6"),
    _weights("vae", "image autoencoder", "diffusion_pytorch_model",
             167_335_342, "bcb60880a46b63dea58e9bc591abe15f8350bde47b405f9c38f4be70c6161e68"),
    _small("vae_config", "its shape", "vae/config.json",
           642, "0b331c8ac22ded5f9997a144a575c1d113d6169aff262c353f39015bd24a6264"),
    _weights("text_encoder", "reads the prompt (CLIP ViT-L)", "model",
             246_144_152, "660c6f5b1abae9dc498ac2d21e1347d2abdb0cf6c0c0c8576cd796491d9a6cdd"),
    _small("text_encoder_config", "its shape", "text_encoder/config.json",
           565, "39b8b2e4b1949e36969caa425b6c81c68bace99198dd9078ce05d16ad401fe7f"),
    _weights("text_encoder_2", "reads the prompt (OpenCLIP ViT-bigG)", "model",
             1_389_382_176, "ec310df2af79c318e24d20511b601a591ca8cd4f1fce1d8dff822a356bcdb1f4"),
    _small("text_encoder_2_config", "its shape", "text_encoder_2/config.json",
           575, "a892d1c3a69a7e9247a24de2bc1d5891e3109a54696e53be20093af671072c34"),
    _small("tokenizer_vocab", "the tokens of the first encoder", "tokenizer/vocab.json", *_VOCAB),
    _small("tokenizer_merges", "how words become tokens", "tokenizer/merges.txt", *_MERGES),
    _small("tokenizer_config", "settings of the tokenizer", "tokenizer/tokenizer_config.json",
           737, "19d7b034cb0cc3ce9766c2231373ab8aa8991fc72e2c8f76558bfaae3de0d563"),
    _small("tokenizer_special", "its special tokens", "tokenizer/special_tokens_map.json",
           472, "c4864a9376a8401918425bed71fc14fc0e81f9b59ec45c1cf96cccb2df508eac"),
    _small("tokenizer_2_vocab", "the tokens of the second encoder", "tokenizer_2/vocab.json", *_VOCAB),
    _small("tokenizer_2_merges", "how words become tokens", "tokenizer_2/merges.txt", *_MERGES),
    _small("tokenizer_2_config", "settings of the tokenizer", "tokenizer_2/tokenizer_config.json",
           725, "c9d23941f76a41cbd50eda9290f57be7828f0a7a677939e9ef181f7e12bd1bdf"),
    _small("tokenizer_2_special", "its special tokens", "tokenizer_2/special_tokens_map.json",
           460, "f118ab3a983206e4f32583448de6bd6aae4ee21869135cef1f5848a753cdaab6"),
    _small("scheduler_config", "the steps of denoising", "scheduler/scheduler_config.json",
           479, "af3e45a949aff8b8341ab8b811429ec03fee857a700a1d9477363e4fff9666e2"),
)  # fmt: skip
#: Model files by the names that `avatar models` uses.
MODELS: dict[str, tuple[ModelPart, ...]] = {"sdxl": _PARTS}


def variant_of(file: ModelFile) -> str | None:
    """Return diffusers' name for the precision of a file of weights: "fp16", or None for full precision."""
    return "fp16" if f"{_HALF}." in file.path else None
