"""A small Whisper network in CTranslate2's layout, with the size and special tokens of the published vocabulary.

Random weights alone write other words on another processor, or none. So each position says which token comes next, clearly enough
for every processor, and with so little probability that Whisper's own measures call it unsure.
"""

from __future__ import annotations

from pathlib import Path

from stages.gpu.torchaudio_import import import_torchaudio

_TEXT_TOKENS, _TIMES = 50_257, 1501
#: What the network writes, as tokens of its vocabulary, after the three that it is given.
_WRITTEN = ("<|0.00|>", "Ġab", "Ġcd", "<|0.20|>", "<|endoftext|>")
#: What is added to the logit of the next token. e**8 is more than all times have together, which would else come first, and less
#: than a tenth of what all tokens have.
_LOGIT = 8.0


def make_whisper_folder(folder: Path) -> Path:
    """Write a network of 16 units and 51,865 tokens, of all languages, that writes "ab cd"; returns the folder."""
    import_torchaudio()
    import torch
    from ctranslate2.converters.transformers import WhisperLoader
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    # The empty token is in the vocabulary of all languages only, by which CTranslate2 knows it.
    words = [*letters, "Ġab", "Ġcd", *(f"unused{number}" for number in range(_TEXT_TOKENS - len(letters) - 3)), ""]
    languages = [code for code in _LANGUAGE_CODES if code != "yue"]  # that one came with a larger vocabulary
    special = [
        "<|endoftext|>", "<|startoftranscript|>", *(f"<|{tag}|>" for tag in languages),
        "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
    ]  # fmt: skip
    tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*special, *(f"<|{number * 0.02:.2f}|>" for number in range(_TIMES))])

    class Vocabulary:
        """What the converter asks a tokenizer: the tokens without those of times, which it adds."""

        def get_vocab(self) -> dict[str, int]:
            return {token: number for number, token in enumerate([*words, *special])}

    torch.manual_seed(7)
    first = _TEXT_TOKENS + 1
    config = WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(), d_model=16, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        decoder_start_token_id=first, eos_token_id=first - 1, bos_token_id=first - 1, pad_token_id=first - 1,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    vars(model.generation_config).update(
        suppress_tokens=[],
        begin_suppress_tokens=[],
        alignment_heads=[[1, 0], [1, 1]],
        lang_to_id={f"<|{tag}|>": first + 1 + at for at, tag in enumerate(languages)},
    )
    with torch.no_grad():
        embeddings = model.model.decoder.embed_tokens.weight  # also those of the output
        positions = model.model.decoder.embed_positions.weight
        # A direction for each token, of mean 0, so that the norm before the output keeps it and gives it a length of sqrt(16)
        chosen = sorted(set(_WRITTEN))
        upright = torch.linalg.qr(torch.cat([torch.ones(16, 1), torch.randn(16, len(chosen))], dim=1)).Q.T[1:]
        for token, direction in zip(chosen, upright, strict=True):
            embeddings[tokenizer.token_to_id(token)] = direction * _LOGIT / 4
        for at in range(len(positions)):
            token = _WRITTEN[min(max(at - 2, 0), len(_WRITTEN) - 1)]
            positions[at] = upright[chosen.index(token)] * 100
        spec = WhisperLoader()(model, Vocabulary())
        spec.validate()
        spec.optimize(quantization="int8")
    folder.mkdir(parents=True)
    spec.save(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
