"""Finds the manifest key that somebody means who writes another name for it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

#: What people write for a key, from the words of other tools and of everyday language. Names are compared as `_plain` makes them.
_MEANT: dict[str, str] = {
    "text": "script content say says said words prompt transcript line lines speech_text message body tts_text",
    "audio": "sound recording wav mp3 audio_file sound_file driven_audio speech_file voice_file music narration",
    "voice": "speaker narrator voice_id voice_name speaker_id speaker_name voiceover tts_voice model actor character "
    "gender accent",
    "language": "lang locale speech_language language_code",
    "speed": "rate tempo pace speaking_rate speech_rate",
    "image": "portrait photo picture pic img avatar source_image image_file photo_file face_image person character_image source",
    "face": "face_index face_number which_face",
    "quality": "bitrate crf preset bit_rate",
    "format": "container extension file_format output_format video_format file_type ending",
    "codec": "video_codec vcodec encoder",
    "fps": "framerate frame_rate frames_per_second",
    "size": "resolution dimensions dimension width height video_size res scale",
    "aspect": "ratio aspect_ratio orientation shape",
    "fit": "crop resize cropping padding letterbox resize_mode",
    "background": "bg backdrop background_image background_color background_colour bg_color bg_image scene",
    "motion": "movement animation gestures head_motion",
    "captions": "subtitles subtitle subs caption closed_captions cc srt vtt",
    "expressions": "expression emotion emotions mood style feeling",
    "kind": "type job_type mode task job",
    "profile": "voice_profile clone",
    "title": "video_title heading headline",
    "output": "out outfile output_file output_name filename file_name name result destination target save_as",
    "priority": "importance urgency prio",
    "metadata": "meta tags comment comments notes custom user_data annotations",
}
_KEY_OF = {name: key for key, names in _MEANT.items() for name in names.split()}
CUTOFF = 0.6


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def meant_key(name: str, known: Iterable[str], below: Iterable[str] = ()) -> str | None:
    """Return the key that is probably meant by a name that is no key; None if there is none.

    Args:
        name: as somebody wrote it.
        known: the keys that are valid there.
        below: keys in groups, with their group, such as "motion.blink".
    """
    plain, known = _plain(name), list(known)
    if plain in known:  # written in capitals, or with blanks
        return plain
    if (key := _KEY_OF.get(plain)) in known:
        return key
    for path in below:
        if path.rpartition(".")[2] == plain:
            return path
    close = difflib.get_close_matches(plain, known, n=1, cutoff=CUTOFF)
    if close:
        return close[0]
    other = difflib.get_close_matches(
        plain, [other for other, key in _KEY_OF.items() if key in known], n=1, cutoff=0.85
    )
    return _KEY_OF[other[0]] if other else None
