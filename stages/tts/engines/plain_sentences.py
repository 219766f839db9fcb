"""Plain sentences in each language that every voice can say, for testing whether a voice works at all."""

from __future__ import annotations

from stages.tts.engines.base import Piece
from stages.tts.text.sentences import split_text

#: By language, without its region. Several each, because a wrongly computed network fails for some sentences only. Each is
#: long enough for XTTS, which adds sounds of its own to very short ones.
SENTENCES: dict[str, str] = {
    "ar": "صباح الخير لكم جميعا. الباب مفتوح والشمس مشرقة.",
    "ca": "Bon dia a tothom. La porta és oberta i brilla el sol.",
    "cs": "Dobré ráno vám všem. Dveře jsou otevřené a slunce svítí.",
    "cy": "Bore da i bawb. Mae'r drws ar agor ac mae'r haul yn tywynnu.",
    "da": "Godmorgen til jer alle. Døren er åben, og solen skinner.",
    "de": "Guten Morgen euch allen. Die Tür steht offen, und die Sonne scheint.",
    "el": "Καλημέρα σε όλους σας. Η πόρτα είναι ανοιχτή και ο ήλιος λάμπει.",
    "en": "Good morning to all of you. The door is open, and the sun is shining. Six children sing a song about the sea.",
    "es": "Buenos días a todos. La puerta está abierta y brilla el sol. Seis niños cantan una canción.",
    "fa": "صبح همه شما بخیر. در باز است و خورشید می‌درخشد.",
    "fi": "Hyvää huomenta teille kaikille. Ovi on auki ja aurinko paistaa.",
    "fr": "Bonjour à tous les voisins. La porte est ouverte et le soleil brille. Six enfants chantent une chanson.",
    "hi": "आप सबको नमस्ते। दरवाज़ा खुला है और धूप निकली है। बच्चे एक गाना गा रहे हैं।",
    "hu": "Jó reggelt mindenkinek. Az ajtó nyitva van, és süt a nap.",
    "is": "Góðan daginn öllsömul. Dyrnar eru opnar og sólin skín.",
    "it": "Buongiorno a tutti voi. La porta è aperta e il sole splende. Sei bambini cantano una canzone.",
    "ja": "おはようございます。今日は天気がいいです。子供たちが歌を歌っています。",
    "ka": "დილა მშვიდობისა ყველას. კარი ღიაა და მზე ანათებს.",
    "kk": "Барлықтарыңызға қайырлы таң. Есік ашық, күн жарқырап тұр.",
    "ko": "여러분 모두 안녕하세요. 문이 열려 있고 해가 빛나요.",
    "lb": "Gudde Moien iech all. D'Dier ass op an d'Sonn schéngt.",
    "lv": "Labrīt jums visiem. Durvis ir vaļā, un saule spīd.",
    "ml": "എല്ലാവർക്കും സുപ്രഭാതം. വാതിൽ തുറന്നിരിക്കുന്നു, സൂര്യൻ പ്രകാശിക്കുന്നു.",
    "ne": "तपाईंहरू सबैलाई नमस्ते। ढोका खुला छ र घाम लागेको छ।",
    "nl": "Goedemorgen allemaal. De deur staat open en de zon schijnt.",
    "no": "God morgen, alle sammen. Døren er åpen, og solen skinner.",
    "pl": "Dzień dobry wszystkim. Drzwi są otwarte i świeci słońce.",
    "pt": "Bom dia a todos vocês. A porta está aberta e o sol brilha. Seis crianças cantam uma canção.",
    "ro": "Bună dimineața tuturor. Ușa este deschisă și soarele strălucește.",
    "ru": "Доброе утро всем вам. Дверь открыта, и светит солнце.",
    "sk": "Dobré ráno vám všetkým. Dvere sú otvorené a slnko svieti.",
    "sl": "Dobro jutro vsem skupaj. Vrata so odprta in sonce sije.",
    "sr": "Добро јутро свима. Врата су отворена и сунце сија.",
    "sv": "God morgon, allihop. Dörren är öppen och solen skiner.",
    "sw": "Habari za asubuhi nyote. Mlango uko wazi na jua linawaka.",
    "tr": "Hepinize günaydın. Kapı açık ve güneş parlıyor.",
    "uk": "Доброго ранку всім вам. Двері відчинені, і світить сонце.",
    "vi": "Chào buổi sáng tất cả mọi người. Cửa đang mở và mặt trời đang chiếu sáng.",
    "zh": "大家早上好。今天天气很好。孩子们在唱歌。",
}


def sentences_in(language: str) -> str | None:
    """Return the sentences in a language (BCP 47 tag); None where there are none."""
    return SENTENCES.get(language.casefold().partition("-")[0])


def pieces_in(language: str) -> list[Piece]:
    """Return the sentences in a language as pieces at the voice's own pace; empty where there are none."""
    found = split_text(sentences_in(language) or "", language)
    return [Piece(one.words, language, 1.0, (number,)) for number, one in enumerate(found) if one.words]
