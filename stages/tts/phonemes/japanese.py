"""Front end of Japanese: OpenJTalk's readings, which refer to their characters, → phonemes of Kokoro."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pyopenjtalk

from stages.tts.phonemes.reading import EnglishFrontEnd
from stages.tts.phonemes.tracked_text import PhonemeLine, TrackedFrontEnd, TrackedText, add_english

#: Mora → phonemes of the network.
_TABLE = """
    ア=a イ=i ウ=ɯ エ=e オ=o ァ=a ィ=i ゥ=ɯ ェ=e ォ=o ヰ=i ヱ=e ヲ=o ー=ː ッ=ʔ ン=ɴ
    カ=ka キ=kʲi ク=kɯ ケ=ke コ=ko ガ=ɡa ギ=ɡʲi グ=ɡɯ ゲ=ɡe ゴ=ɡo ヵ=ka ヶ=ke
    サ=sa シ=ɕi ス=sɨ セ=se ソ=so ザ=ʣa ジ=ʥi ズ=zɨ ゼ=ʣe ゾ=ʣo
    タ=ta チ=ʨi ツ=ʦɨ テ=te ト=to ダ=da ヂ=ʥi ヅ=zɨ デ=de ド=do
    ナ=na ニ=ɲi ヌ=nɯ ネ=ne ノ=no ハ=ha ヒ=çi フ=ɸɯ ヘ=he ホ=ho
    バ=ba ビ=bʲi ブ=bɯ ベ=be ボ=bo パ=pa ピ=pʲi プ=pɯ ペ=pe ポ=po
    マ=ma ミ=mʲi ム=mɯ メ=me モ=mo ヤ=ja ユ=jɯ ヨ=jo ャ=ja ュ=jɯ ョ=jo
    ラ=ɾa リ=ɾʲi ル=ɾɯ レ=ɾe ロ=ɾo ワ=βa ヮ=βa ヴ=vɯ
    イェ=je ウィ=βi ウェ=βe ウォ=βo ヴァ=va ヴィ=vʲi ヴェ=ve ヴォ=vo ヴュ=bʲɨ
    クァ=kᵝa クィ=kᵝi クェ=kᵝe クォ=kᵝo クヮ=kᵝa グァ=ɡᵝa グィ=ɡᵝi グェ=ɡᵝe グォ=ɡᵝo グヮ=ɡᵝa
    スィ=sʲi ズィ=zʲi ティ=tʲi ディ=dʲi テュ=tʲɨ デュ=dʲɨ トゥ=tɯ ドゥ=dɯ
    ツァ=ʦa ツィ=ʦʲi ツェ=ʦe ツォ=ʦo ファ=ɸa フィ=ɸʲi フェ=ɸe フォ=ɸo フュ=ɸʲɨ フョ=ɸʲo
    """
_MORAE = dict(pair.split("=") for pair in _TABLE.split())
#: Consonants of morae that combine with ャ, ュ, ョ and ェ: キャ, キュ, キョ, キェ.
_PALATAL = ("kʲ", "ɡʲ", "ɕ", "ʥ", "ʨ", "ʥ", "ɲ", "ç", "bʲ", "pʲ", "mʲ", "ɾʲ")
_ROWS = dict(zip("キギシジチヂニヒビピミリ", _PALATAL, strict=True))
_MORAE |= {
    row + small: sound + vowel
    for row, sound in _ROWS.items()
    for small, vowel in zip("ャュョェ", "aɨoe", strict=True)
}  # fmt: skip
#: Sound of ン within a word → the sounds before which it occurs.
_NASALS = {"m": "mpb", "ŋ": "kɡ", "ɲ": "ɲʨʥ", "n": "ntdɾzʣʦ"}
_NASAL = {following: nasal for nasal, sounds in _NASALS.items() for following in sounds}
_MORA = re.compile("|".join(sorted(map(re.escape, _MORAE), key=len, reverse=True)))
#: OpenJTalk reads figures and units, but not these forms.
_FIGURES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})(?!\d)"), r"\1年\2月\3日"),
    (re.compile(r"(?<!\d)(\d{1,2}):00(?!\d)"), r"\1時"),
    (re.compile(r"(?<!\d)(\d{1,2}):0?(\d{1,2})(?!\d)"), r"\1時\2分"),
    (re.compile(r"(?<=\d)\s*[〜～~](?=\s*\d)"), "から"),
    (re.compile(r"[¥￥](\d[\d,.]*\d|\d)([千万億]?)"), r"\1\2円"),
    (re.compile(r"\$(\d[\d,.]*\d|\d)([千万億]?)"), r"\1\2ドル"),
    (re.compile(r"€(\d[\d,.]*\d|\d)([千万億]?)"), r"\1\2ユーロ"),
)
#: Parts of speech that attach to the word before them without a space.
_ATTACHED = frozenset({"助動詞"})


def front_end(_: str) -> TrackedFrontEnd:
    """Return the front end of Japanese."""
    return TrackedFrontEnd(_add_text)


def _add_text(text: TrackedText, line: PhonemeLine) -> None:
    for pattern, replacement in _FIGURES:
        text = text.sub(pattern, replacement)
    if not text.text.strip():
        return
    owner = text.owners[0]
    for token in pyopenjtalk.g2p_mapping(text.text):
        start, stop = token["char_span"]
        owner = text.owners[start] if stop > start else owner  # 十 in a number has no character of its own
        written = text.text[start:stop]
        if not token["mora_count"]:
            for sign in written:
                line.mark(sign, owner)
        elif token["is_unknown"] and written.isascii() and not written.isupper():
            add_english(line, EnglishFrontEnd().read([written]), owner)
        else:
            if not (token["pos"] in _ATTACHED or token["pron"].startswith(("ー", "ッ")) or line.chars.endswith("ʔ")):
                line.gap()
            line.add("".join(_phonemes(token["pron"])), owner)


def _phonemes(kana: str) -> Iterator[str]:
    """Yield the phonemes of each mora; ignores signs other than kana, such as the mark of devoicing."""
    morae = [_MORAE[mora] for mora in _MORA.findall(kana)]
    for mora, following in pairwise([*morae, ""]):
        yield _NASAL.get(following[:1], "ɴ") if mora == "ɴ" else mora
