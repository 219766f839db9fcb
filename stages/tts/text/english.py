"""The table of rules for English text that front ends misread, in the order in which they are applied.

A rule is added where a pattern is common in texts and at least one front end misreads it. What all read correctly
("7:30 pm", "21st", "Dr.", "50%"), and plain figures, are left to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from stages.tts.text import english_numbers as n
from stages.tts.text.rules import Rule

#: Words not pronounced as spelled; the lexicon in config.yaml has precedence.
WORDS = {
    "24/7": "twenty-four seven", "9/11": "nine eleven", "C#": "C sharp", "F#": "F sharp", "CO2": "C O 2",
    "JSON": "Jason", "WWI": "World War 1", "WWII": "World War 2", "résumé": "/ɹˈɛzəmˌA/", "résumés": "/ɹˈɛzəmˌAz/",
}  # fmt: skip
#: Tags of regions where "12/5/2024" means the fifth of December.
_MONTH_FIRST = frozenset({"en", "en-us", "en-ca", "en-ph"})

#: A date of figures: first, sign, second, year.
_DATE = r"(?<![\w./-])(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d\d)(?!\w|[/-]|\.\d)"

_UNITS = {
    "m": "meter", "g": "gram", "l": "liter", "L": "liter", "dl": "deciliter", "cl": "centiliter", "h": "hour",
    "s": "second", "W": "watt", "V": "volt", "kV": "kilovolt", "dB": "decibel", "kcal": "kilocalorie",
    "m/s": "meter per second", "m²": "square meter", "km²": "square kilometer", "cm²": "square centimeter",
    "m³": "cubic meter", "cm³": "cubic centimeter", "ft²": "square foot", "rpm": "revolution per minute",
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "kg": "kilogram", "lb": "pound", "ft": "foot", "mi": "mile",
    "min": "minute", "GB": "gigabyte", "TB": "terabyte", "tbsp": "tablespoon", "tsp": "teaspoon", "kbps": "kilobit per second",
    "hPa": "hectopascal", "kPa": "kilopascal", "kJ": "kilojoule", "kN": "kilonewton", "Nm": "newton meter", "mA": "milliampere",
}  # fmt: skip
_PER = {"mo": "month", "yr": "year", "wk": "week", "hr": "hour", "h": "hour", "min": "minute", "sec": "second",
        "s": "second", "lb": "pound", "kg": "kilogram"}  # fmt: skip
#: Units of a rate, before its slash and after it: "20 MB/s", "30 l/min".
_RATES = {**_UNITS, "kB": "kilobyte", "KB": "kilobyte", "MB": "megabyte", "kbit": "kilobit", "Mbit": "megabit", "Gbit": "gigabit",
          "mg": "milligram", "ml": "milliliter", "kWh": "kilowatt hour", "kW": "kilowatt", "t": "ton"}  # fmt: skip
_RATES_PER = {**_PER, "d": "day", "l": "liter", "L": "liter", "dl": "deciliter", "km": "kilometer", "m²": "square meter",
              "m³": "cubic meter", "ha": "hectare"}  # fmt: skip
_PER_WHAT = "month|year|week|day|hour|night|minute|second|person|user|seat|unit|item|mile|gallon"
_MANY = "people|users|views|followers|subscribers|downloads|customers|visitors|homes|jobs|dollars|pounds|euros"
_VULGAR = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8"}
_SIGNS = {
    "≤": " at most ", "≥": " at least ", "≠": " is not ", "≈": " about ", "±": " plus or minus ", "√": " the square root of ",
    "∞": " infinity", "‰": " per mille", "№": " number ", "℃": "°C", "℉": "°F",
}  # fmt: skip
_ROMAN = {"ii": 2, "iii": 3, "iv": 4, "vi": 6, "vii": 7, "viii": 8, "ix": 9, "xi": 11, "xii": 12}
#: Abbreviations before a number.
_BEFORE_NUMBERS = {
    "rm": "room", "ext": "extension", "temp": "temperature", "lat": "latitude", "eq": "equation", "apt": "apartment",
    "ste": "suite", "bldg": "building", "chap": "chapter", "sect": "section", "para": "paragraph", "pt": "part", "ver": "version",
    "ref": "reference",
}  # fmt: skip

#: Parts of the patterns. "<" and ">" require that no figure or letter adjoins.
_MACROS = {
    "<": r"(?<![\w.,/:$€£*^-])",
    "[": r"(?<![\w.,/:*^-])",
    ">": r"(?!\w|[.,/:]\d|-\w)",
    "-": r"[-–—]",
    "NUM": r"\d{1,12}(?:,\d{3}){0,5}(?:\.\d{1,6})?",
    "SUM": r"\d{1,12}(?:,\d{3}){0,5}(?:\.\d{1,6}|,\d{1,2}(?!\d))?",
    "BIG": r"[ -]?(?:hundred|thousand|million|billion|trillion)\b|(?: ?[mbtMBT]n|[kKmMbBT])\b",
    "CUR": n.CURRENCY,
    "DAY": r"Mon(?:day)?|Tue(?:s|sday)?|Wed(?:nesday)?|Thu(?:r|rs|rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?",
    "MON": r"Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?",
    "TH": r"(?:st|nd|rd|th)",
    "UNIT": "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True))),
    "RATE": "|".join(map(re.escape, sorted(_RATES.keys() - {"m/s", "rpm", "kbps"}, key=len, reverse=True))),
    "PER": "|".join(map(re.escape, sorted(_RATES_PER, key=len, reverse=True))),
}


def _rule(shape: str, say: str | Callable[[re.Match[str]], str | None], *, each: bool = False, flags: int = 0) -> Rule:
    """Make a rule from a pattern with `{MACROS}`. `say` is a function, or a template for `Match.expand`."""
    full = re.sub(r"\{([A-Z<>[-]+)\}", lambda macro: _MACROS[macro[1]], shape)
    template = (lambda found: found.expand(say)) if isinstance(say, str) else say
    return Rule(re.compile(full, flags), template, each)


def _date(found: re.Match[str], *, day_first: bool) -> str | None:
    first, sign, second, year = found.groups()
    if sign != "/" and len(year) == 2:
        return None
    day_first = day_first or sign == "." or int(first) > 12
    day, month = (first, second) if day_first else (second, first)
    return n.date(year, month, day, day_first=day_first)


def _moment(found: re.Match[str]) -> str | None:
    year, month, day, clock = found.groups()
    said = n.date(year, month, day, day_first=False)
    return said and f"{said}, at {clock}"


def _days(found: re.Match[str]) -> str | None:
    """Say a range of days: "10–12 May", "May 10–12"."""
    first, last = int(found["first"]), int(found["last"])
    month = n.full_name(n.MONTHS, found["month"])
    if not 1 <= first < last <= 31:
        return None
    if found.start("month") < found.start("first"):
        return f"{month} {n.ordinal(first)} to {n.ordinal(last)}"
    return f"the {n.ordinal(first)} to the {n.ordinal(last)} of {month}"


def _unit(found: re.Match[str]) -> str | None:
    number, gap, unit = found.groups()
    if not gap and (unit == "s" or (unit == "g" and len(number) == 1)):  # "the 90s", "5g"
        return None
    name = _UNITS[unit]
    if number == "1" or _counts_one(found):
        return f"{number} {name}"
    if "foot" in name:
        return f"{number} {name.replace('foot', 'feet')}"
    counted, _, rest = name.partition(" per ")
    return f"{number} {counted}s per {rest}" if rest else f"{number} {name}s"


def _rate(found: re.Match[str]) -> str:
    number, unit, per = found.groups()
    name = _RATES[unit].replace("foot", "feet")
    many = "" if number == "1" or _counts_one(found) or name.endswith("feet") else "s"
    return f"{number} {name}{many} per {_RATES_PER[per]}"


def _counts_one(found: re.Match[str]) -> bool:
    """Return whether the amount is an attribute, which takes the singular: "a 10 m cable", "a $5 bill"."""
    return re.search(r"\b[Aa]n? $", found.string[max(0, found.start() - 4) : found.start()]) is not None


def _span(found: re.Match[str]) -> str | None:
    """Say a range: "10–20", "5%-10%"; leave "555-0142", a telephone number."""
    low, percent, high = found.groups()
    if re.fullmatch(r"\d{3}-\d{4}", found[0]):
        return None
    return f"{low}{percent or ''} {high}" if low == high else f"{low}{percent or ''} to {high}"


def _ratio(found: re.Match[str]) -> str | None:
    """Say a score or ratio, "3:2"; leave "Romans 8:1", a verse."""
    return (
        None
        if re.search(r"[A-Z][a-z]{1,20} $", found.string[max(0, found.start() - 22) : found.start()])
        else f"{found[1]} to {found[2]}"
    )


def _inches(found: re.Match[str]) -> str | None:
    """Say '27"' as inches, unless the sign closes a quotation."""
    return f"{found[1]} inch" if found.string.count('"', 0, found.start()) % 2 == 0 else None


def _point(found: re.Match[str]) -> str:
    """Say the digits after the point one by one, which keeps final zeros: "3.10", "1.0"."""
    return f"{found[1]} point {' '.join(found[2])}"


def _power(found: re.Match[str]) -> str:
    return f"{found[1]} times 10 to the power of {found[2].replace('-', 'minus ').replace('+', '')}"


def _half(found: re.Match[str]) -> str:
    """Mark "am" after an hour as an abbreviation, so that it is not read as the verb."""
    return f"{found[1]} {found[2].lower()}.m."


def _grouped(found: re.Match[str]) -> str | None:
    """Write a number of another country with commas and a point: "1.234,56", "1'250.50", "1 234,56"."""
    whole, part = found["whole"], found["part"] or ""
    groups = re.split(r"[^\d]", whole)
    if len(groups) == 4 and "." in whole and not part and all(int(group) < 256 for group in groups):
        return None  # an address in a network
    return ",".join(groups) + (f".{part[1:]}" if part else "")


def _lasting(found: re.Match[str]) -> str:
    """Say a length of time: "1h 20m", "2h30", "5m 30s". Beside hours or seconds, m is minutes."""
    counted = [
        (int(part), name) for part, name in zip(found.groups(), ("hour", "minute", "second"), strict=True) if part
    ]
    return " ".join(f"{count} {name}{'s' if count != 1 else ''}" for count, name in counted)


def _place(found: re.Match[str]) -> str:
    """Say an angle in degrees, minutes and seconds: "52°31′12″N"."""
    counted = zip(found.groups()[:3], ("degrees", "minutes", "seconds"), strict=True)
    towards = {"N": " north", "S": " south", "E": " east", "W": " west"}.get(found[4] or "", "")
    return " ".join(f"{part} {name}" for part, name in counted if part) + towards


_TABLE = (
    # Numbers of other countries
    _rule(r"(?<=[₹])(?P<gap> ?)(?P<whole>\d{1,2}(?:,\d\d){1,4},\d{3})(?!\d|,\d)",
          lambda m: f"{m['gap']}{int(m['whole'].replace(',', '')):,}"),
    _rule(r"(?<=Rs|NR)(?P<sign>\.? ?)(?P<whole>\d{1,2}(?:,\d\d){1,4},\d{3})(?!\d|,\d)",
          lambda m: f"{m['sign']}{int(m['whole'].replace(',', '')):,}"),
    _rule(r"(?<=\d)[\u00a0\u2009\u202f\u2007](?=\d{3}(?!\d))", " "),
    _rule(r"{[}(?P<whole>\d{1,3}(?:\.\d{3}){1,4})(?P<part>,\d{1,2})(?!\d|[.,]\d)", _grouped),
    _rule(r"{[}(?P<whole>\d{1,3}(?: \d{3}){1,4})(?P<part>,\d{1,2})(?!\d|[.,]\d)", _grouped),
    _rule(r"{[}(?P<whole>\d{1,3}(?:['’´]\d{3}){1,4})(?P<part>[.,]\d{1,2})?(?!\d|[.,]\d)", _grouped),
    _rule(r"{[}(?P<whole>\d{1,3}(?:\.\d{3}){2,4})(?P<part>)(?!\d|[.,]\d)", _grouped),
    _rule(r"(?<=\d)[.,](?:[-–—]{1,2})(?= ?(?:{CUR})(?!\w)|(?!\S)|[.,;!?])", ""),
    # "123.500 €": three figures after the point are no cents where the sign stands behind
    _rule(r"(?<![\w.,])(?P<whole>\d{1,3}\.\d{3})(?P<part>)(?= ?(?:{CUR})(?!\w))", _grouped),
    _rule(r"(?<![\w.,])(?P<whole>\d{1,3} \d{3})(?P<part>)(?= ?(?:{CUR})(?!\w))", _grouped),
    _rule(r"(?<=€)(?P<gap> ?)(?P<whole>\d{1,3}\.\d{3})(?P<part>)(?!\d|[.,]\d)", lambda m: m["gap"] + (_grouped(m) or "")),
    # Signs
    _rule(r"(?<!\S)&&(?!\S)", "and"),
    _rule(r"(?<![\w.)%^–-])[-−](?=\d)", "minus "),
    _rule(r"(?<=\d) ?º ?(?=[CF]\b)", "°"),
    _rule(f"[{''.join(_SIGNS)}]", lambda found: _SIGNS[found[0]]),
    # Money
    _rule(r"(?<![\w.,])({CUR}) ?\.(?=\d\d?(?!\w|[.,]\d))", lambda m: m[1] + "0."),
    _rule(r"{<}({CUR}) ?({SUM})({BIG})?(?:{-}(?:(?:{CUR}) ?)?|(?: {-} | to )(?:{CUR}) ?)({SUM})({BIG})?{>}",
          lambda m: n.amounts(m[1], m[2], m[3], m[4], m[5])),
    _rule(r"{<}({SUM})({BIG})?{-}({SUM})({BIG})? ?({CUR})(?!\w)",
          lambda m: n.amounts(m[5], m[1], m[2], m[3], m[4])),
    _rule(r"(?<![\w.,])({CUR}) ?({SUM})({BIG})?(\+)?(?!\w|[.,]\d)",
          lambda m: n.amount(m[1], m[2], m[3], one=_counts_one(m)) + (" plus" if m[4] else "")),
    _rule(r"{<}({SUM})({BIG})? ?({CUR})(?!\w)", lambda m: n.amount(m[3], m[1], m[2])),
    # Days and hours
    _rule(r"{<}(\d{1,3}) ?h ?([0-5]?\d) ?m(?:ins?\b\.?)?(?: ?([0-5]?\d) ?s)?(?!\w)", _lasting),
    _rule(r"{<}(\d{1,3})h([0-5]\d)()(?!\w)", _lasting),
    _rule(r"{<}()(\d{1,3}) ?m ?([0-5]?\d) ?s(?!\w)", _lasting),
    _rule(r"(?<![\w-])(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?(?!\w)",
          _moment),
    _rule(r"(?:\b[Tt]he )?(?<![\w.,/:-])(?P<first>\d{1,2}){TH}?{-}(?P<last>\d{1,2}){TH}?(?: of)? (?P<month>{MON})\b(?:\.(?= ))?",
          _days),
    _rule(r"\b(?P<month>{MON})\.? (?P<first>\d{1,2}){-}(?P<last>\d{1,2}){>}(?!%)", _days),
    _rule(r"\b(\d{1,3}{TH}){-}(?=\d{1,3}{TH}\b)", r"\1 to "),
    _rule(r"\b({DAY})\.? ?{-} ?({DAY})\b", lambda m: f"{n.full_name(n.DAYS, m[1])} to {n.full_name(n.DAYS, m[2])}"),
    _rule(r"\b({MON})\.? ?{-} ?({MON})\b", lambda m: f"{n.full_name(n.MONTHS, m[1])} to {n.full_name(n.MONTHS, m[2])}"),
    _rule(r"\b({DAY})(?=[,:]? \d{1,2}(?:{TH}? (?:{MON})\b|:\d\d| ?[ap]\.?m\b|{-}\d{1,2}\b))",
          lambda m: n.full_name(n.DAYS, m[1])),
    _rule(r"\b({DAY})\.?(?P<sign>, ?| ?& ?| and |, and )(?=(?:{DAY})\b)", lambda m: n.full_name(n.DAYS, m[1]) + m["sign"]),
    _rule(r"\b((?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)(?P<sign>, ?| ?& ?| and |, and )({DAY})\b",
          lambda m: m[1] + m["sign"] + n.full_name(n.DAYS, m[3])),
    _rule(r"{<}(\d{1,2})\.(\d\d) ?(?=[ap]\.?m\b)", r"\1:\2 ", flags=re.IGNORECASE),
    _rule(r"{<}(\d{1,2}(?::\d\d)?(?: ?[ap]\.?m\.?)?) ?{-} ?(?=\d{1,2}(?::\d\d)? ?[ap]\.?m\b)", r"\1 to ",
          flags=re.IGNORECASE),
    _rule(r"{<}(\d{1,2}:\d\d) ?{-} ?(?=\d{1,2}:\d\d(?!\w))", r"\1 to "),
    _rule(r"{<}((?:1[0-2]|0?\d)(?::\d\d){0,2}) ?([ap])\.?m\b\.?", _half, flags=re.IGNORECASE),
    # Figures that are said one by one
    _rule(r"(?<=[Cc]all |[Dd]ial )(?:000|101|11[0-9]|911|988|999)(?![\w,.-]\d|\w)", lambda m: n.digits(m[0]), each=True),
    _rule(r"(?<!\w)\+(?=(?:[ ./()-]{0,3}\d){7})\d{1,3}(?:[ .-]?\(\d{1,4}\)\d{0,5}|[ .-]\d{1,5})(?:[ ./-]\d{1,9}){1,5}{>}",
          lambda m: n.digits(m[0]), each=True),
    _rule(r"(?<!\w)(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}{>}", lambda m: n.digits(m[0]), each=True),
    _rule(r"{<}(?:0\d{2,4}(?: \d{3,4}){2}|0\d{4} \d{6}|(?:1 )?\d{3} \d{3} \d{4}){>}", lambda m: n.digits(m[0]), each=True),
    _rule(r"{<}\d{1,5}(?:-\d{1,7}){3,5}(?:-[\dX])?(?!\w|-)", lambda m: n.digits(m[0]), each=True),
    _rule(r"{<}\d{1,3}(?:\.\d{1,3}){3}{>}", lambda m: m[0].replace(".", " dot ")),
    _rule(r"(?<![\w.])[vV](?=\d{1,4}\.\d)", lambda m: "" if m.string[: m.start()].endswith("ersion ") else "version "),
    _rule(r"{<}\d{1,4}(?:\.\d{1,4}){2}(?!\w|\.\d)", lambda m: m[0].replace(".", " point ")),
    # Commas and blanks in numbers
    _rule(r"{<}\d(?:,\d){2,20}{>}", lambda m: m[0].replace(",", ", ")),
    _rule(r"{<}(\d{1,3}),(\d{1,2}){>}", r"\1.\2"),
    _rule(r"{<}(\d{1,3}),(\d{1,2})(?=(?!st\b|nd\b|rd\b|th\b)[^\W\d_])", r"\1.\2"),
    _rule(r"{<}\d{1,3}(?: \d{3}){2,4}{>}(?! \d)", lambda m: m[0].replace(" ", ",")),
    # Sizes and amounts
    _rule(r"(?<![\w.,])(\d{1,3})° ?([0-5]?\d)[′'’](?: ?([0-5]?\d(?:\.\d{1,3})?)(?:[″\"”]|''))?(?: ?([NSEW])\b)?", _place),
    _rule(r"(?<=\d)( ?(?:min|sec|hrs?|ft|tbsp|tsp|lbs?|oz|mi|yd|km|cm|mm|kg|mg|ml))\.(?= [a-z\d])", r"\1"),
    _rule(r"(?<![\w'’.,])(\d{1,2})['’′] ?(\d|10|11)(?:[\"”″]|['’]{2})?(?![\w\"”])", r"\1 foot \2"),
    _rule(r"(?<![\w'’.,])(\d{1,3})['’′] ?[x×] ?(\d{1,3})['’′](?!\w)", r"\1 by \2 feet"),
    _rule(r"{<}(\d{1,5}(?:\.\d{1,3})?)(?: x ?| ?x |[xX])(?=\d)", r"\1 by "),
    _rule(r"{<}(\d{1,4}(?:\.\d{1,3})?)[xX](?!\w)", r"\1 times"),
    _rule(r"{<}(\d{1,3}(?:\.\d{1,2})?)[\"″](?!\w)", _inches),
    _rule(r"(?<![\w.])(\d{1,3})(?:in\b(?!-)| in\.(?= [a-z]))", r"\1 inches"),
    _rule(rf"(?<![\w.,/:$€£])({{NUM}})(M(?!\w)|[MBT]n\b|[mbt]n\b|B(?= [a-z])|m(?= (?:{_MANY})\b))(\+)?",
          lambda m: f"{m[1]} {n.large_number(m[2])}{' plus' if m[3] else ''}"),
    _rule(r"(?<![\w.,/:$€£])({NUM}) ?({RATE})/({PER})(?![\w²³/'’])", _rate),
    _rule(r"(?<![\w.,/:$€£])({NUM})( ?)({UNIT})(?![\w²³/'’])", _unit),
    # Fractions and proportions
    _rule(r"(?<=\d) ?([½¼¾⅓⅔⅛⅜⅝⅞])", lambda m: f" {_VULGAR[m[1]]}"),
    _rule(r"[⅓⅔⅛⅜⅝⅞]", lambda m: _VULGAR[m[0]]),
    _rule(r"{<}(\d{1,3}) ([1-7])/([234568]){>}", lambda m: f"{m[1]} and {n.fraction(m[2], m[3])}"),
    _rule(r"\b((?:[Ss]tep|[Pp]age|[Pp]art|[Ss]lide|[Dd]ay|[Ww]eek|[Ll]esson|[Qq]uestion) \d{1,3})/(?=\d{1,3}{>})", r"\1 of "),
    _rule(r"{<}(10|\d(?:\.\d)?)/10{>}", r"\1 out of 10"),
    _rule(r"{<}(\d\.\d)/5{>}", r"\1 out of 5"),
    _rule(r"{<}(\d{1,3})/(?=\1{>})", r"\1 "),
    _rule(r"(?<![\w:.,])(\d{1,3}):(\d)(?![\w:]|\.\d)", _ratio),
    _rule(r"{<}(\d{1,4}(?:\.\d{1,3})?)(%)?{-}(\d{1,4}(?:\.\d{1,3})?)(?!\w|-\w|[.,/:-]\d|=)", _span),
    # Figures that would be lost
    _rule(r"(?<=\d) [*∗] (?=\d)", " times "),
    _rule(r"(?<![\w.-])([A-Za-z]{2,6})(\d{1,2}\.\d)(?!\w|[.,]\d)", r"\1 \2"),
    _rule(r"{<}(\d{1,3}(?:\.\d{1,6})?)[eE]([-+]?\d{1,3}){>}", _power),
    _rule(r"(?<![\w.])\.(?=\d)", "0."),
    _rule(r"(?<![\w.,:])(\d{1,9})\.(\d{0,7}0)(?!\d|[.,]\d)", _point),
    _rule(rf"(?<=[\ds])/({_PER_WHAT}|{'|'.join(_PER)})\b(?!/)(?:\.(?= [a-z]))?", lambda m: f" per {_PER.get(m[1], m[1])}"),
    # Marks of lists: "a)" is the letter, "(iii)" a number
    _rule(r"(?<!\S)\(?[aA]\)(?= )", "A,"),
    _rule(r"(?<!\S)\(?([ivx]{2,5})\)(?= )", lambda m: f"{_ROMAN[m[1]]}," if m[1] in _ROMAN else None),
    # The letter A, which is no article
    _rule(r"(?<![\w'’.])A(?: ?[-–] ?| to )(?=[B-Z](?!\w|['’.]))", "A. to "),
    _rule(r"(?<=[\"“‘'])A(?=[\"”’'])", "A."),
    # Shortened words
    _rule(r"(?<=\b(?:on|at|of|to) )([A-Z][a-z]{1,20}) Dr\.?(?= [a-z]|[,;)]|$)", r"\1 Drive"),
    _rule(r"(?<=\d )((?:[A-Z][a-z]{1,20} ){1,2})Dr\.?(?= [a-z]|[,;)]|$)", r"\1Drive"),
    _rule(r"(?<=[a-zA-Z] )['’][nN]['’]?(?= [a-zA-Z])", "and"),
    _rule(r"(?<![\w.])(pp?)\. ?(?=\d)", lambda m: "pages " if m[1] == "pp" else "page "),
    _rule(r"\bNr\.? ?(?=\d)", "number "),
    _rule(rf"\b({'|'.join(_BEFORE_NUMBERS)})\. ?(?=\(?\d)", lambda m: f"{_BEFORE_NUMBERS[m[1].lower()]} ", flags=re.IGNORECASE),
    _rule(r"(?<=\d) ?[Mm]io\b\.?(?= |$)", " million"),
    _rule(r"\bEst\. ?(?=\d{4})", "Established "),
    _rule(r"\bCtrl(?=[+-])", "Control"),
    _rule(r"\bCmd(?=[+-])", "Command"),
)  # fmt: skip


#: A number that is a decimal one where a point separates the whole from the part, and thousands where it groups figures.
_UNCLEAR = re.compile(r"(?<![\w.,/:*^€-])(?:[$£] ?\d{1,3}\.\d{3}|\d{1,3}\.\d\d0)(?!\d|[.,]\d| ?(?:CHF|EUR|€))")


def unclear_numbers(text: str) -> list[str]:
    """Return the numbers that people of another country may mean otherwise: "12.500" is 12.5 in English and 12,500 elsewhere."""
    return _UNCLEAR.findall(text)


def unclear_dates(text: str, language: str) -> dict[str, tuple[str, str]]:
    """Return the dates of which nobody can know the order of day and month, where the language tag has no region.

    Returns:
        The date as written → how it is read, and how else it may be meant.
    """
    if language.casefold() != "en":
        return {}
    return {
        found[0]: (month_first, day_first)
        for found in re.finditer(_DATE, text)
        if found[1] != found[3]
        and (month_first := _date(found, day_first=False))
        and (day_first := _date(found, day_first=True))
        and not month_first[0].isdecimal()
    }


@lru_cache(maxsize=8)
def english_rules(language: str) -> tuple[Rule, ...]:
    """Return the rules for a BCP 47 tag of English; its region decides the order of day and month."""
    day_first = language.casefold() not in _MONTH_FIRST
    dates = _rule(_DATE, lambda m: _date(m, day_first=day_first))
    return (dates, *_TABLE)
