"""Full-width text: which characters need no blank beside them, which begin or end no line, and how wide text is."""

from __future__ import annotations

import re
import unicodedata

#: Letters and signs of scripts that need no blank beside them: Han, kana, bopomofo, and full-width forms.
UNSPACED = (
    "\u2e80-\u2fdf\u3000-\u303f\u3041-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff"
)
#: No line begins with these: they belong to what is before them.
CLOSING = (
    "、。，．：；！？…‥—–・ー～〜゛゜」』）】〕〉》｝］”’｡､｣･ﾞﾟｰ,.:;!?)]}%％‰℃°々〻ゝゞヽヾ"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶｧｨｩｪｫｯｬｭｮ"
)
#: No line ends with these.
OPENING = "「『（【〔〈《｛［“‘｢([{¥￥$＄€£第"

#: Language tags of Chinese in traditional characters begin so.
TRADITIONAL = ("zh-tw", "zh-hk", "zh-mo", "zh-hant", "yue")

_UNSPACED = re.compile(f"[{UNSPACED}]")


def unspaced(char: str) -> bool:
    """Whether a character needs no blank beside it."""
    return _UNSPACED.match(char) is not None


def width(text: str) -> int:
    """Columns of a Latin letter: two for each full-width character, one for every other."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
