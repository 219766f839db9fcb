"""SDXL in its published layout, with random weights and few of them."""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path

import torch

from stages.generate.model_files import FOLDER
from stages.gpu.torchaudio_import import import_torchaudio

_SPECIAL = ("<|startoftext|>", "<|endoftext|>")
_HIDDEN = 16


def save_sdxl(models: Path) -> Path:
    """Write the model's folder below the folder `models`, in half precision, and return it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if importlib.util.find_spec("torchaudio") is not None:
            import_torchaudio()
        import diffusers
        import transformers
        from tokenizers.pre_tokenizers import ByteLevel

        torch.manual_seed(0)
        folder, letters = models / FOLDER, sorted(ByteLevel.alphabet())
        vocab = {
            token: number for number, token in enumerate([*letters, *(f"{one}</w>" for one in letters), *_SPECIAL])
        }
        for name in ("tokenizer", "tokenizer_2"):
            (folder / name).mkdir(parents=True)
            (folder / name / "vocab.json").write_text(json.dumps(vocab))
            (folder / name / "merges.txt").write_text("#version: 0.2\n")
            marks = {
                "bos_token": _SPECIAL[0],
                "eos_token": _SPECIAL[1],
                "pad_token": _SPECIAL[1],
                "unk_token": _SPECIAL[1],
            }
            (folder / name / "special_tokens_map.json").write_text(json.dumps(marks))
            settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **marks}
            (folder / name / "tokenizer_config.json").write_text(json.dumps(settings))
        shape = transformers.CLIPTextConfig(
            vocab_size=len(vocab), hidden_size=_HIDDEN, intermediate_size=_HIDDEN, num_hidden_layers=2, num_attention_heads=2,
            projection_dim=_HIDDEN, bos_token_id=len(vocab) - 2, eos_token_id=len(vocab) - 1, pad_token_id=len(vocab) - 1,
        )  # fmt: skip
        networks = {
            "text_encoder": transformers.CLIPTextModel(shape),
            "text_encoder_2": transformers.CLIPTextModelWithProjection(shape),
            "unet": diffusers.UNet2DConditionModel(
                sample_size=128, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                attention_head_dim=(1, 2), use_linear_projection=True, cross_attention_dim=2 * _HIDDEN,
                addition_embed_type="text_time", addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=6 * 8 + _HIDDEN,
            ),
            "vae": diffusers.AutoencoderKL(
                sample_size=1024, block_out_channels=(4, 4, 4, 4), norm_num_groups=2, layers_per_block=1, latent_channels=4,
                down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                scaling_factor=0.13025,
                mid_block_add_attention=False,  # over 16,384 places; takes more time than all other parts
            ),
        }  # fmt: skip
        for name, network in networks.items():
            network.half().save_pretrained(folder / name, variant="fp16", safe_serialization=True)
        scheduler = diffusers.EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        )
        scheduler.save_pretrained(folder / "scheduler")
        index = {"_class_name": "StableDiffusionXLPipeline", "_diffusers_version": "0.19.0.dev0"}
        (folder / "model_index.json").write_text(json.dumps(index))
        return folder
