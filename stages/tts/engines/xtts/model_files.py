"""Lists the model files of the engine `xtts`: XTTS v2.0.3 as published by Coqui, with the publisher's sizes and hashes."""

from __future__ import annotations

from stages.model_files.catalogue import ModelFile, ModelPart

#: Licence of the weights.
CPML = "Coqui Public Model License: the weights and all they say for NON-COMMERCIAL use only"
_PUBLISHED = ("coqui/XTTS-v2", "6c2b0d75eae4b7047358e3b6bd9325f857d43f77")

PARTS = (
    ModelPart("model", "XTTS v2.0.3, the voice network", CPML, (
        ModelFile("xtts/model.pth", *_PUBLISHED, "model.pth",
                  1_867_929_118, "c7ea20001c6a0a841c77e252d8409f6a74fb423e79b3206a0771ba5989776187"),
    )),
    ModelPart("config", "its shape", CPML, (
        ModelFile("xtts/config.json", *_PUBLISHED, "config.json",
                  4_368, "ef262b1454dd2a77e1461b0b2cd53e19b8a7624cc131b837d36df67356bc75e8"),
    )),
    ModelPart("vocab", "its alphabet", CPML, (
        ModelFile("xtts/vocab.json", *_PUBLISHED, "vocab.json",
                  361_219, "928260878a59da8a72a2a5b7687fea29d5106137669d90945430fe17e415304a"),
    )),
    ModelPart("speakers", "the voices that come with it", CPML, (
        ModelFile("xtts/speakers_xtts.pth", *_PUBLISHED, "speakers_xtts.pth",
                  7_754_818, "f0f6137c19a4eab0cbbe4c99b5babacf68b1746e50da90807708c10e645b943b"),
    )),
)  # fmt: skip
