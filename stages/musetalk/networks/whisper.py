"""Whisper's encoder; its decoder is not needed. Source: openai/whisper-tiny."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.musetalk.networks.layers import attend


@dataclass(frozen=True)
class WhisperShape:
    """The dimensions of a Whisper encoder: `inner` is the feed-forward width, `places` the positions (50 per second)."""

    width: int = 384
    layers: int = 4
    heads: int = 6
    inner: int = 1536
    bands: int = 80
    places: int = 1500


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self._heads = heads

    def forward(self, x: Tensor) -> Tensor:
        attended: Tensor = self.out_proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), self._heads))
        return attended


class _Layer(nn.Module):
    def __init__(self, shape: WhisperShape) -> None:
        super().__init__()
        self.self_attn_layer_norm = nn.LayerNorm(shape.width)
        self.self_attn = _SelfAttention(shape.width, shape.heads)
        self.final_layer_norm = nn.LayerNorm(shape.width)
        self.fc1 = nn.Linear(shape.width, shape.inner)
        self.fc2 = nn.Linear(shape.inner, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        return torch.add(x, self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x)))))


class WhisperEncoder(nn.Module):
    """Computes hidden states from log-mel spectrograms."""

    def __init__(self, shape: WhisperShape) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(shape.bands, shape.width, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.width, shape.width, 3, stride=2, padding=1)
        # Not `nn.Embedding`, which draws random weights: without a device (`torch.device("meta")`) that imports torch's compiler,
        # which takes more than a second. The weights come from a file anyway.
        self.embed_positions = nn.Embedding.from_pretrained(torch.empty(shape.places, shape.width))
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.layers))
        self.layer_norm = nn.LayerNorm(shape.width)

    def forward(self, mel: Tensor) -> Tensor:
        """Compute all hidden states, [batch, 1500, 5, 384], of spectrograms, [batch, 80, 3000].

        The five are the input of the first layer, the output of each layer but the last, and the normalised output.
        """
        x = functional.gelu(self.conv2(functional.gelu(self.conv1(mel))))
        x = x.transpose(1, 2) + self.embed_positions.weight
        states = []
        for layer in self.layers:
            states.append(x)
            x = layer(x)
        return torch.stack([*states, self.layer_norm(x)], dim=2)
