"""Full-width text: characters written without spaces, characters that must not begin or end a line, and the width of text."""

from __future__ import annotations

import re
import unicodedata

#: Character ranges of scripts written without spaces: Han, kana, bopomofo, and full-width forms.
UNSPACED = (
    "\u2e80-\u2fdf\u3000-\u303f\u3041-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff"
)
#: Characters that must not begin a line.
CLOSING = (
    "、。，．：；！？…‥—–・ー～〜゛゜」』）】〕〉》｝］”’｡､｣･ﾞﾟｰ,.:;!?)]}%％‰℃°々〻ゝゞヽヾ"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶｧｨｩｪｫｯｬｭｮ"
)
#: Characters that must not end a line.
OPENING = "「『（【〔〈《｛［“‘｢([{¥￥$＄€£第"

#: Prefixes of the language tags of Chinese in traditional characters.
TRADITIONAL = ("zh-tw", "zh-hk", "zh-mo", "zh-hant", "yue")

_UNSPACED = re.compile(f"[{UNSPACED}]")


def is_unspaced(char: str) -> bool:
    """Return whether a character belongs to a script that is written without spaces."""
    return _UNSPACED.match(char) is not None


def column_width(text: str) -> int:
    """Count the columns of a text: two for each full-width character, one for every other."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
