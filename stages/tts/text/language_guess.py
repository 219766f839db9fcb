"""Guesses the language of a text by its most common words, or its letters, without a model; only for warnings and hints."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from daemon.jobs.language import LANGUAGE_NAMES
from stages.tts.text.pause_marks import without_marks

#: Words that make up a third of any text in their language and are rare in the others.
_COMMON = {
    "en": "the of and to in is was it for with that on are this be at by have you not they from we his her which she",
    "de": "der die das und ist nicht ein eine zu den von mit sich auf für dem des im auch als wie wir ich sie wird es",
    "fr": "le la les de des et un une du est que dans pour pas sur avec qui au plus ce il elle nous vous sont je",
    "es": "el la los las de y que en un una es por con para no se del al lo como más pero su está muy son yo",
    "it": "il lo la gli le di e che un una è per non con del della sono nel si come più ma anche questo ha al",
    "pt": "o os as de e que um uma é para com não em do da dos das no na se por mais como mas foi ao são está",
    "nl": "de het een en van is dat niet op te in zijn voor met aan er ook als maar om hij ze wij ik naar bij dit",
    "pl": "i w na z nie się jest do to że o jak ale po od za przez dla tym jego tak są czy już tylko być oraz",
    "cs": "a v na se je že to s z do o jako za pro ale po jsou by tak při byl jsem když nebo jeho které aby",
    "tr": "ve bir bu için ile da de çok ne gibi daha olarak en o ama var kadar sonra değil her mi ben olan ya",
    "hu": "a az és hogy nem is egy van ez meg de csak ha már mint volt el még vagy ki lesz ezt kell nagyon",
}
_SETS = {language: frozenset(words.split()) for language, words in _COMMON.items()}
#: Words of greetings and short sentences that no English text has, by which a text of a few words is told.
_TELLING_WORDS = {
    "de": "guten hallo danke bitte heute willkommen morgen abend herzlich liebe alle unser unsere mein meine tschüss wie geht "
    "heiße bin ihnen euch",
    "fr": "bonjour bonsoir merci salut bienvenue aujourd amis allez votre notre mon ma mes ça va comment "
    "tous toutes suis très appelle",
    "es": "hola gracias buenos buenas días tardes bienvenidos bienvenidas amigos hoy mi mis nuestro nuestra cómo "
    "estás todos todas llamo",
    "it": "ciao buongiorno buonasera grazie benvenuti oggi mio mia nostro nostra amici come stai tutti tutte chiamo",
    "pt": "olá obrigado obrigada bom boa dia tarde vindos hoje meu minha nosso nossa amigos",
    "nl": "hallo goedemorgen goedenavond dank welkom vandaag mijn onze hoe gaat",
    "pl": "cześć dzień dobry dziękuję witam witajcie dzisiaj mój moja nasz",
    "cs": "ahoj dobrý den děkuji vítejte dnes můj moje náš",
    "tr": "merhaba teşekkürler hoş geldiniz bugün benim bizim nasılsın",
    "hu": "szia sziasztok köszönöm jó napot üdvözlöm ma kedves",
}
_TOLD_BY = {language: frozenset(words.split()) for language, words in _TELLING_WORDS.items()}
#: The English "'s", which alone is a word of Czech.
_POSSESSIVE = re.compile(r"(?<=\w)['’]s\b")
#: A word of two letters or more: letters alone are marks of a list, initials, or a word that is spelled. Not "st" of "21st".
_WORD = re.compile(r"(?<!\d)[^\W\d_]{2,}")
_LETTER = re.compile(r"(?<!\w)[^\W\d_](?!\w)")
#: Web and mail addresses are words of no language: "com" is one of Portuguese.
_ADDRESS = re.compile(
    r"\b(?:https?://|www\.)\S{1,500}|\b[\w%+-]{1,64}(?:[.@][\w-]{1,63}){0,5}[.@][\w-]{1,63}\.[a-z]{2,6}\b",
    re.IGNORECASE,
)
#: Shortest text that is judged; lowest share of words of the guessed language; and its ratio to the declared one's share.
_LEAST_WORDS, _LEAST_SHARE, _TIMES = 8, 0.2, 3.0
#: So many different common words tell a language: "la la la" is none. A text with more letters alone than words is spelled.
_LEAST_DIFFERENT = 3
#: Up to so many words are judged by greetings, too, where at least this share of them tells the language.
_FEW_WORDS, _LEAST_TOLD = 16, 0.4
#: Script, as `stages.tts.text.scripts` names it → the language that is mostly written in it.
_OF_SCRIPT = {
    "Arabic": "ar", "Chinese": "zh", "Cyrillic": "ru", "Devanagari": "hi", "Georgian": "ka", "Greek": "el", "Japanese": "ja",
    "Korean": "ko", "Malayalam": "ml",
}  # fmt: skip
#: Letters that tell another language of the same script.
_TELLING = {"Cyrillic": {"uk": "іїєґ", "sr": "ђћљњџј", "kk": "әғқңөұүһ"}, "Arabic": {"fa": "پچژگ"}}


def guess_by_scripts(text: str, scripts: Counter[str]) -> str | None:
    """Return the language that a text seems to be in by its letters; None where no voice speaks such a language.

    Args:
        scripts: number of letters of each script; see `scripts_of_others`.
    """
    script = "Japanese" if "Japanese" in scripts else scripts.most_common(1)[0][0]
    letters = set(text.casefold())
    for language, telling in _TELLING.get(script, {}).items():
        if letters & set(telling):
            return language
    return _OF_SCRIPT.get(script)


def guess_other_language(text: str, language: str) -> str | None:
    """Return the language that a text seems to be in, if that is not the declared one (BCP 47 tags); else None."""
    plain = _POSSESSIVE.sub("", _ADDRESS.sub(" ", without_marks(text)))
    words = [word.casefold() for word in _WORD.findall(plain)]
    asked = language.casefold().partition("-")[0]
    if asked not in _SETS or len(words) <= len(_LETTER.findall(plain)):
        return None
    if len(words) < _FEW_WORDS and (told := _guess_few(words, asked)):
        return told
    if len(words) < _LEAST_WORDS:
        return None
    shares = {name: sum(word in common for word in words) / len(words) for name, common in _SETS.items()}
    best = max(shares, key=shares.__getitem__)
    if len(_SETS[best].intersection(words)) < _LEAST_DIFFERENT:
        return None
    if best == asked or shares[best] < _LEAST_SHARE or shares[best] < _TIMES * shares[asked]:
        return None
    return best


def _guess_few(words: Sequence[str], asked: str) -> str | None:
    """Return the language that a few words are in, where two of them tell it and none is usual in the declared one."""
    if any(word in _SETS[asked] | _TOLD_BY.get(asked, frozenset()) for word in words):
        return None
    told = {
        name: sum(word in telling or word in _SETS[name] for word in {*words}) * any(word in telling for word in words)
        for name, telling in _TOLD_BY.items()
    }
    best = max(told, key=told.__getitem__)
    return best if told[best] >= max(2, _LEAST_TOLD * len(words)) else None


def other_language_warning(guess: str, language: str, remedy: str) -> str:
    """Return the warning that a text seems to be in the language `guess`, but is spoken as another.

    Args:
        guess: from `guess_other_language`.
        language: the declared one, a BCP 47 tag.
        remedy: what to do where no voice here speaks the guessed language; empty where one does.
    """
    name = LANGUAGE_NAMES[guess]
    warning = f"The text seems to be {name}, but is spoken as `language: {language}`. If so, set `language: {guess}`."
    return f"{warning} No voice here speaks {name} yet. {remedy}" if remedy else warning
