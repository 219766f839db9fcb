"""Plain sentences in each language that every voice can say, for testing whether a voice works at all."""

from __future__ import annotations

from stages.tts.engines.base import Piece
from stages.tts.text.sentences import split_text

#: By language, without its region. Several each, because a wrongly computed network fails for some sentences only. Each is
#: long enough for XTTS, which adds babble to very short ones.
SENTENCES: dict[str, str] = {
    "ar": "صباح الخير لكم جميعا. الباب مفتوح والشمس مشرقة.",
    "cs": "Dobré ráno vám všem. Dveře jsou otevřené a slunce svítí.",
    "de": "Guten Morgen euch allen. Die Tür steht offen, und die Sonne scheint.",
    "en": "Good morning to all of you. The door is open, and the sun is shining. Six children sing a song about the sea.",
    "es": "Buenos días a todos. La puerta está abierta y brilla el sol. Seis niños cantan una canción.",
    "fr": "Bonjour à tous les voisins. La porte est ouverte et le soleil brille. Six enfants chantent une chanson.",
    "hi": "आप सबको नमस्ते। दरवाज़ा खुला है और धूप निकली है। बच्चे एक गाना गा रहे हैं।",
    "hu": "Jó reggelt mindenkinek. Az ajtó nyitva van, és süt a nap.",
    "it": "Buongiorno a tutti voi. La porta è aperta e il sole splende. Sei bambini cantano una canzone.",
    "ja": "おはようございます。今日は天気がいいです。子供たちが歌を歌っています。",
    "ko": "여러분 모두 안녕하세요. 문이 열려 있고 해가 빛나요.",
    "nl": "Goedemorgen allemaal. De deur staat open en de zon schijnt.",
    "pl": "Dzień dobry wszystkim. Drzwi są otwarte i świeci słońce.",
    "pt": "Bom dia a todos vocês. A porta está aberta e o sol brilha. Seis crianças cantam uma canção.",
    "ru": "Доброе утро всем вам. Дверь открыта, и светит солнце.",
    "tr": "Hepinize günaydın. Kapı açık ve güneş parlıyor.",
    "zh": "大家早上好。今天天气很好。孩子们在唱歌。",
}


def sentences_in(language: str) -> str | None:
    """Return the sentences in a language (BCP 47 tag); None where there are none."""
    return SENTENCES.get(language.casefold().partition("-")[0])


def pieces_in(language: str) -> list[Piece]:
    """Return the sentences in a language as pieces at the voice's own pace; empty where there are none."""
    found = split_text(sentences_in(language) or "", language)
    return [Piece(one.words, language, 1.0, (number,)) for number, one in enumerate(found) if one.words]
