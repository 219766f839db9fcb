"""Says where Piper's voices are published, and which of them are proposed for a language; each is fetched by its name."""

from __future__ import annotations

import re

from stages.model_files.catalogue import MODEL_CARD, ModelFile, ModelPart

#: Folder below the models folder.
FOLDER = "piper"
_REPO, _REVISION = "rhasspy/piper-voices", "v1.0.0"
#: Language_REGION-speaker-quality.
VOICE_NAME = re.compile(r"([a-z]{2,3})_([A-Z]{2})-([^\W-]+)-(x_low|low|medium|high)")
_LICENCE = "stated in the MODEL_CARD of the voice; it differs from voice to voice"

#: Published voices, one or two for a language, in order of preference → size of the network in bytes.
PROPOSED = {
    "ar_JO-kareem-medium": 0, "ca_ES-upc_ona-medium": 63_201_294, "cs_CZ-jirka-medium": 63_201_294,
    "cy_GB-gwryw_gogleddol-medium": 0, "da_DK-talesyntese-medium": 63_201_294, "de_DE-thorsten-medium": 63_201_294,
    "de_DE-kerstin-low": 0,
    "el_GR-rapunzelina-low": 63_104_526, "es_ES-davefx-medium": 63_201_294, "fa_IR-amir-medium": 0,
    "fi_FI-harri-medium": 63_201_294, "fr_FR-siwis-medium": 63_201_294, "hu_HU-anna-medium": 63_201_294,
    "is_IS-salka-medium": 76_495_465, "it_IT-paola-medium": 0, "ka_GE-natia-medium": 63_201_294,
    "kk_KZ-issai-high": 127_864_258, "lb_LU-marylux-medium": 63_201_294, "lv_LV-aivars-medium": 0,
    "ml_IN-arjun-medium": 0, "ne_NP-google-medium": 76_766_385, "nl_NL-mls-medium": 0, "nl_BE-nathalie-medium": 63_201_294,
    "no_NO-talesyntese-medium": 63_201_294, "pl_PL-gosia-medium": 63_201_294, "pl_PL-darkman-medium": 63_201_294,
    "pt_BR-faber-medium": 63_201_294, "pt_PT-tugão-medium": 63_201_294, "ro_RO-mihai-medium": 63_201_294,
    "ru_RU-irina-medium": 63_201_294, "ru_RU-denis-medium": 63_201_294, "sk_SK-lili-medium": 63_201_294,
    "sl_SI-artur-medium": 0, "sr_RS-serbski_institut-medium": 76_733_615, "sv_SE-nst-medium": 63_104_526,
    "sw_CD-lanfrica-medium": 63_201_294, "tr_TR-dfki-medium": 63_201_294, "uk_UA-ukrainian_tts-medium": 76_735_663,
    "vi_VN-vais1000-medium": 63_201_294,
}  # fmt: skip

#: Gender → speakers of published voices whose name, or that of their corpus, tells it.
_SPEAKERS = {
    "female": "alba amy anna berta cori daniela eva_k gosia hfc_female irina jenny_dioco kathleen kerstin kristin lada "
    "lessac lili ljspeech marylux natia nathalie paola ramona rapunzelina salka siwis southern_english_female ugla upc_ona",
    "male": "aivars alan amir artur bryce bui danny darkman davefx denis dmitri edresson faber gilles gwryw_gogleddol "
    "harri hfc_male imre jirka joe john kareem karlsson mihai norman northern_english_male pavoque pim riccardo ronnie ruslan "
    "ryan steinn thorsten tom upc_pau",
}
_GENDERS = {speaker: gender for gender, speakers in _SPEAKERS.items() for speaker in speakers.split()}


def gender_of(speaker: str) -> str:
    """Return "female" or "male" by the speaker in the name of a published voice; empty where that does not tell."""
    return _GENDERS.get(speaker, "")


def voice_parts(name: str) -> tuple[ModelPart, ...] | None:
    """Return the files of a published voice; None where `name` does not have the form of their names.

    Whether a voice of that name is published is not known here.
    """
    match = VOICE_NAME.fullmatch(name)
    if match is None:
        return None
    language, region, speaker, quality = match.groups()
    folder = f"{language}/{language}_{region}/{speaker}/{quality}"
    files = (("network", f"{name}.onnx", "a voice", PROPOSED.get(name, 0)), ("settings", f"{name}.onnx.json", "its settings", 0),
             ("card", MODEL_CARD, "its licence", 0))  # fmt: skip
    return tuple(
        ModelPart(role, what, _LICENCE, (_file(f"{folder}/{file}", size),)) for role, file, what, size in files
    )


def _file(path: str, size: int) -> ModelFile:
    return ModelFile(f"{FOLDER}/{path}", _REPO, _REVISION, path, size)
