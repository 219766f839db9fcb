"""Finds stage directions: what somebody does or what is heard, written into a text in brackets, asterisks or dashes.

`find_directions` leaves out:

- what consists of known words for acts and sounds, in any brackets, wherever it stands: `[laughs]`, `(sighs softly)`;
- a phrase that stands alone, as a line or between sentences, and names an act or a sound: `(door slams)`, `*bows*`;
- a line between dashes or notes that names one: `- applause -`, `♪ music ♪`;
- a phrase in square brackets that stands alone, of any words: `[gate creaks]`;
- what is done in curly brackets or between underscores: `{laughs}`, `_sighs_`;
- where a voice comes from, `(V.O.)`, `(off-screen)`, `(CONT'D)`;
- what a script says of its pictures (`script_lines`): `INT. GARDEN - DAY`, `FADE IN:`, `[Slide 1]`.

What could be a direction, but could be meant to be spoken as well, is told apart: it is spoken, with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stages.tts.text.markup.placeholders import is_placeholder
from stages.tts.text.markup.script_lines import find_script_lines, is_script_cue


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: What a speaker does beside speaking, and what is heard of an audience.
_ACTS = _words(
    """
    laugh laughs laughing laughter chuckle chuckles chuckling giggle giggles giggling whisper whispers whispering
    whispered sigh sighs sighing cough coughs coughing gasp gasps gasping groan groans groaning sob sobs sobbing sniff
    sniffs sniffing yawn yawns yawning shout shouts shouting scream screams screaming cries crying smiles smiling
    smirks grins grinning breath breathe breathes breathing inhales exhales applause music clears snorts gulps hums
    humming mumbles mutters sneezes stutters winks nods shrugs inaudible unintelligible crosstalk cheering clapping
    lacht lachen lachend gelächter flüstert flüsternd seufzt hustet räuspert applaus beifall musik schmunzelt lächelt
    rire rires rit chuchote soupir soupire soupirs toux applaudissements musique risa risas ríe susurra suspira tose
    aplausos música ride risate sussurra sospira tossisce applausi musica aplausos risos 笑 笑い 笑声 拍手 掌声 音楽 音乐
    """
)
#: What else is seen or heard on a stage: verbs as they are used of others (slams, slamming, not slam), and names of sounds.
_EVENTS = _words(
    """
    slams slamming knocks knocking knock rings ringing barks barking enters entering exits exit exeunt leaves turns
    walks walking runs running sits stands looks looking points pointing waves waving bows bowing claps cheers jumps
    falls falling opens opening closes closing creaks creaking crashes breaks breaking plays playing fades fading
    stops starts begins sings singing dances dancing thinks pauses pausing hesitates hesitating waits waiting
    trembling blushes frowns frowning squints rolls raises lowers leans kisses hugs pats drinks eats chews spits
    swallows types typing beeps beeping buzzes buzzing honks meows roars explodes rumbles rustles rustling splashes
    ticks ticking whistles whistling blinks gestures gesturing shakes shaking footsteps thunder doorbell drumroll
    explosion gunshot silence fanfare jingle jeers boos booing heartbeat siren sirens klopft klingelt öffnet schließt
    nickt verbeugt winkt stille donner schritte tritt zögert klatscht geht frappe sonne entre sort silence sourit
    hésite tonnerre bruit entra sale llaman suena silencio sonríe truenos esce bussano suona silenzio sorride
    """
)
#: Who or what does it, and how: words that make no sentence of a direction.
_BESIDE = _words(
    """
    a an the his her their its in out again to at with and then off up down on over himself herself themselves throat
    head hand hands eyes shoulders he she they everyone everybody all audience crowd door doors phone telephone bell
    clock dog cat car glass gate window rain wind baby background offstage onstage stage camera sound sounds noise
    noises effect soft loud long short slow light nervous evil upbeat sad dramatic canned theme voice breaking cut
    upstage left right leise laut sich tür publikum der die das und den kopf la le les el los las il lo porte puerta
    porta une un una
    """
)
#: Words of somebody who speaks to the listener, or of a remark: what has one is no direction.
_SPOKEN = _words(
    """
    i i'm i'll you you're your we we're our us me my mine it's that's is are was were will would can could should must
    not no yes by see about from for if or because which who what when where why how than please e.g i.e ich du sie
    wir ist sind nicht oder je tu nous vous est sont pas ou yo tú es son que o io tu noi sei sono non
    """
)
#: Words beside acts within a sentence, where other words make an ordinary remark of them.
_WITH_ACTS = _words(
    """
    his her their throat in out again to himself herself soft loud nervous leise laut
    """
)
_KNOWN = _ACTS | _EVENTS | _BESIDE
#: Most words of a direction, and of unknown words that are told as a possible one.
_MOST_WORDS, _MOST_UNSURE = 7, 4
#: Fewer letters in square brackets are the tick of a list; a shorter word in -ly is no adverb (fly).
_LEAST_LETTERS, _LEAST_MANNER = 3, 4
_BLANKS = " \t\u00a0"
_NEAR = 200  # characters; more blanks beside a direction are not looked through
#: Where a voice comes from, as a screenplay has it behind a name.
_VOICE_MARK = re.compile(
    r"v\.?o\.?|o\.?s\.?|o\.?c\.?|cont[’']?d\.?|cont\.|continued|more|off[- ]?(?:screen|camera|stage)?|voice[- ]?over"
    r"|(?:on|into) (?:the )?phone|filtered|pre-?lap|im off|aus dem off|voix off",
    re.IGNORECASE,
)
#: What stands behind the name of a speaker, after the bracket: the colon, or the end of the line.
_AFTER_NAME = re.compile(r"[^\S\n]*(?:\*\*|__)?[^\S\n]*(?:(?P<colon>[:：])|\n|\Z)")
_WORD = re.compile(r"[^\W\d_][\w'’-]*")
#: Words without figures and signs; code and addresses have some.
_PHRASE = re.compile(r"[^\W\d_][^\d_\[\](){}<>=/\\|@#$%&^+*\":;.!?…~`“”]{0,80}")

#: Brackets, asterisks, and lines between dashes or notes. `inner` is what stands within.
_ENCLOSED = re.compile(
    r"\[(?P<square>[^\[\]\n]{1,80})\](?![(:])|\((?P<round>[^()\n]{1,80})\)|（(?P<wide>[^（）\n]{1,80})）"
    r"|【(?P<lens>[^【】\n]{1,80})】|(?<![\w*])\*(?P<star>[^\s*][^*\n]{0,78}[^\s*])\*(?![\w*])"
    r"|(?<![\w_])_(?P<under>[^\s_][^_\n]{0,78}[^\s_])_(?![\w_])|\{(?P<curly>[^{}\n]{1,80})\}"
    r"|<(?P<angle>[^<>\n]{1,80})>"
    r"|^[^\S\n]*(?P<sign>[-–—~♪♫]{1,3})[^\S\n]*(?P<dashed>[^\W\d_][^\n]{0,78}?)[^\S\n]*(?P=sign)[^\S\n]*$",
    re.MULTILINE,
)
#: What ends a sentence or a direction, before one that stands alone; a speaker's name, too.
_BEFORE_ALONE = '.!?…:;。！？।"”’»]*】'
_OPENERS = "\"'“‘«([*（【¿¡"


@dataclass(frozen=True)
class Direction:
    """What looks like a stage direction.

    Attributes:
        start, end: place in the text, with its signs.
        text: as written, with its signs.
        spoken: whether it is spoken, because it may be meant so.
    """

    start: int
    end: int
    text: str
    spoken: bool


def find_directions(text: str, *, beside_names: bool = True) -> Iterator[Direction]:
    """Yield what looks like a stage direction. Pauses are no directions: they are marks (`[pause]`) already.

    Args:
        beside_names: with brackets behind what may be the name of a speaker: `Anna (laughing):`. They tell that it is one.
    """
    lines = find_script_lines(text)
    for start, end in lines:
        yield Direction(start, end, text[start:end].strip(), spoken=False)
    for found in _ENCLOSED.finditer(text):
        if not beside_names and _is_beside_name(text, found):
            continue
        if not any(start <= found.start() < end for start, end in lines):
            kind = next(name for name in found.re.groupindex if name != "sign" and found[name] is not None)
            spoken = _judge(kind, found[kind].strip(), found[0], *_surroundings(text, found.start(), found.end()))
            if spoken is not None:
                yield Direction(found.start(), found.end(), found[0].strip(), spoken)


def without_directions(text: str, *, beside_names: bool = True) -> str:
    """Return the text without its stage directions, and without the blanks before them; `beside_names` as above."""
    for one in sorted(find_directions(text, beside_names=beside_names), key=lambda one: one.start, reverse=True):
        if not one.spoken:
            text = text[: one.start].rstrip(_BLANKS) + text[one.end :]
    return text


def is_cue(bracket: str) -> bool:
    """Return whether what stands in brackets behind a name tells how or from where it speaks: `(laughing, to Ben)`, `(V.O.)`."""
    inner = bracket[1:-1].strip()
    words = [word.casefold().replace("’", "'") for word in _WORD.findall(inner)]
    acts = any(word in _ACTS or word in _EVENTS or _is_manner(word) for word in words)
    return _VOICE_MARK.fullmatch(inner) is not None or (acts and len(words) <= _MOST_WORDS)


def _is_beside_name(text: str, found: re.Match[str]) -> bool:
    if found[0][0] not in "([" or not (after := _AFTER_NAME.match(text, found.end())):
        return False
    before = text[max(0, found.start() - _NEAR) : found.start()].rpartition("\n")[2]
    return before.strip() != "" and (after["colon"] is not None or before.isupper())


def _judge(kind: str, inner: str, written: str, alone: bool, begins_sentence: bool) -> bool | None:
    """Return False for a stage direction, True for what may be one and is spoken, None for other words.

    Args:
        kind: name of the group in `_ENCLOSED`.
        alone: whether it is a line or a sentence of its own.
        begins_sentence: whether a capital letter follows.
    """
    if kind == "square" and is_script_cue(inner) and not is_placeholder(written):
        return False
    if kind in ("round", "square") and _VOICE_MARK.fullmatch(inner) and (alone or "." in inner):
        return False
    plain = inner.rstrip(".!…")
    words = [word.casefold().replace("’", "'") for word in _WORD.findall(plain)]
    if not 0 < len(words) <= _MOST_WORDS or _PHRASE.fullmatch(plain) is None:
        return None
    names_act = any(word in _ACTS for word in words)
    names_event = names_act or any(word in _EVENTS for word in words)
    if names_event and all(word in _KNOWN or _is_manner(word) for word in words):
        if alone or kind == "square":
            return False
        if names_act and all(word in _ACTS or word in _WITH_ACTS or _is_manner(word) for word in words):
            return kind in ("star", "under") and not begins_sentence
        return None
    if is_placeholder(written):
        return None
    is_sentence = plain != inner or not _SPOKEN.isdisjoint(words)
    if kind == "square":
        return _judge_square(inner, words, alone, is_sentence)
    if kind in ("angle", "dashed", "curly", "under") or not alone:
        return None
    if names_event:
        return is_sentence
    return True if inner[0].islower() and not is_sentence and 1 < len(words) <= _MOST_UNSURE else None


def _judge_square(inner: str, words: list[str], alone: bool, is_sentence: bool) -> bool | None:
    """Judge other words in square brackets: alone they are a direction, within a sentence an addition by its writer."""
    if len(inner) < _LEAST_LETTERS or words[0] == "pause" or "," in inner:
        return None
    if alone:
        return is_sentence
    return True if len(words) > 1 else None


def _is_manner(word: str) -> bool:
    return len(word) > _LEAST_MANNER and word.endswith("ly")


def _surroundings(text: str, start: int, end: int) -> tuple[bool, bool]:
    """Return whether a place of the text is a line or a sentence of its own, and whether a capital letter follows it."""
    before = text[max(0, start - _NEAR) : start].rstrip(_BLANKS)[-1:]
    after = text[end : end + _NEAR].lstrip(_BLANKS + _OPENERS)[:1]
    begins = not before or before == "\n" or before in _BEFORE_ALONE
    return begins and not after.islower() and after not in tuple(",;:.!?"), after.isupper()
