"""Finds the manifest key that somebody means who writes another name for it."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable

#: What people write for a key, from the words of other tools and of everyday language. Names are compared as `_plain` makes them.
_MEANT: dict[str, str] = {
    "text": "script content say says said words transcript line lines speech_text message body tts_text",
    "audio": "sound recording wav mp3 audio_file sound_file driven_audio speech_file voice_file narration",
    "voice": "speaker narrator voice_id voice_name speaker_id speaker_name voiceover tts_voice model actor character "
    "gender accent",
    "language": "lang locale speech_language language_code",
    "speed": "rate tempo pace speaking_rate speech_rate voice_speed voice_rate speaking_speed speech_speed talking_speed",
    "duration": "length max_length max_duration target_length target_duration seconds",
    "image": "portrait photo picture pic img source_image image_file photo_file face_image person character_image source",
    "avatar": "avatar_id avatar_name avatar_profile presenter",
    "negative": "negative_prompt not_prompt",
    "enhance_prompt": "prompt_enhancement prompt_enhancer enhance",
    "face": "face_index face_number which_face",
    "quality": "bitrate crf preset bit_rate",
    "format": "container extension file_format output_format video_format file_type ending",
    "codec": "video_codec vcodec encoder",
    "fps": "framerate frame_rate frames_per_second",
    "size": "resolution dimensions dimension width height video_size res scale",
    "aspect": "ratio aspect_ratio orientation shape",
    "crop": "cropping cut_out region",
    "fit": "resize padding letterbox resize_mode",
    "video": "clip movie film video_file source_video input_video",
    "sync_mode": "sync length_mode sync_method",
    "subtitles": "subtitle subs subtitle_file subtitles_file",
    "background": "bg backdrop background_image background_color background_colour bg_color bg_image scene",
    "motion": "movement animation gestures head_motion",
    "captions": "caption closed_captions cc srt vtt captions_format subtitles subtitle subs subtitles_format",
    "expressions": "expression emotion emotions mood style feeling",
    "kind": "type job_type mode task",
    "profile": "voice_profile clone",
    "title": "video_title heading headline",
    "output": "out outfile output_file output_name filename file_name name result destination target save_as",
    "priority": "importance urgency prio",
    "notify": "callback callback_url webhook webhook_url notify_url hook notification",
    "metadata": "meta tags comment comments notes custom user_data annotations",
}
#: The same in German, French, Spanish, Italian, Portuguese, Dutch and Polish.
_IN_OTHER_LANGUAGES: dict[str, str] = {
    "text": "texto texte testo tekst skript sprechtext",
    "audio": "ton tonspur son sonido suono som geluid dźwięk aufnahme",
    "voice": "stimme sprecher sprecherin voix voz voce stem głos",
    "language": "sprache langue idioma lingua língua taal język",
    "speed": "geschwindigkeit vitesse velocidad velocità velocidade snelheid prędkość",
    "duration": "dauer länge laenge durée duración durata duração duur długość",
    "image": "bild foto porträt imagen immagine imagem afbeelding obraz zdjęcie",
    "face": "gesicht visage cara rostro volto viso gezicht twarz",
    "quality": "qualität qualitaet qualité calidad qualità qualidade kwaliteit jakość",
    "format": "formato",
    "fps": "bildrate",
    "size": "größe groesse auflösung aufloesung taille tamaño dimensione dimensioni tamanho grootte rozmiar",
    "aspect": "seitenverhältnis",
    "background": "hintergrund fond arrière_plan fondo sfondo fundo achtergrond tło",
    "motion": "bewegung mouvement movimiento movimento beweging ruch",
    "captions": "untertitel sous_titres subtítulos sottotitoli legendas ondertitels ondertiteling napisy",
    "title": "titel titre título titolo tytuł",
    "output": "ausgabe dateiname sortie salida uscita saída uitvoer",
    "priority": "priorität priorité prioridad priorità prioridade prioriteit priorytet",
}
#: The same for keys that stand below others, in `expressions` and `motion`.
_BELOW: dict[str, str] = {
    "at": "time start second seconds timestamp when from",
    "name": "expression emotion mood type called nombre nom",
    "consent": "permission agreement agreed zustimmung einwilligung consentement consentimiento",
    "expires": "expiry expiration expires_on valid_until valid_to until date ablauf gültig_bis caduca expiration_date",
    "head": "all amount strength intensity nodding",
    "gaze": "eyes eye look looking",
    "brow": "brows eyebrow eyebrows",
    "blink": "blinks blinking",
    "breath": "breathing breathe",
}
#: Name → the keys that it may stand for, the likeliest first: which of them it is depends on the kind of job.
_KEYS_OF: dict[str, list[str]] = {}
for _table in (_MEANT, _IN_OTHER_LANGUAGES):
    for _key, _names in _table.items():
        for _name in _names.split():
            _KEYS_OF.setdefault(_name, []).append(_key)
#: What people ask for that no key does → what to do instead.
_INSTEAD: dict[str, str] = {
    "music bgm background_music musik musique música": "No music is laid under the speech: mix it in an editor, or give the "
    "whole sound as `audio`.",
    "logo watermark overlay": "Nothing is laid over the video: add it in an editor, for example to `background: transparent`.",
    "email mail e_mail email_to mail_to notify_email": "A manifest sends no mail: watch the status file, or ask whoever "
    "runs avatard for a hook, which sends one. `notify` tells an https address.",
    "intro outro append prepend concat playlist chapters": "Videos are not joined: do that in an editor.",
    "pause pauses break breaks delay silence": "Pauses stand in the text, such as `[pause 1s]`.",
    "ssml use_ssml enable_ssml": "Markup in the text is read without a key for it: leave this out.",
    "schedule scheduled schedule_at scheduled_at not_before start_at start_time run_at when after depends_on": (
        "A job has no starting time: it starts as soon as it can. An empty file in the inbox keeps it waiting: hello.hold for "
        "the result hello.mp4; hello.release lets it go on."
    ),
    "font font_size fontsize caption_font captions_font subtitle_font subtitles_font caption_size caption_style captions_style "
    "subtitle_style caption_color caption_position": "The look of burned captions is not set here: write `captions: srt`, and "
    "set it in an editor or player.",
    "text_file textfile script_file text_path input_file": "Nothing is read from a text file: write `text: |`, and under it the "
    "words, with two blanks before each line.",
    "audio_url image_url video_url picture_url photo_url url source_url": "Nothing is fetched from the web: download the file, "
    "put it next to the manifest, and write its name, such as `image: portrait.png`.",
    "file filepath path media": "A file is named by what is in it: write `image`, `audio` or `video`, such as "
    "`image: portrait.png`.",
    "trim cut clip start end": "Nothing is cut by its time: cut the recording or the video in an editor, and hand that in.",
    "mute muted silent no_audio": "`audio` replaces the sound of a video; nothing removes it: do that in an editor or player.",
    "rotate rotation flip mirror": "Pictures and videos are shown upright, as their files say: turn them in an editor, and hand "
    "that in.",
    "fade fade_in fade_out transition transitions effect effects filter filters": "Nothing is faded or filtered: do that in an "
    "editor.",
    "temperature top_p guidance guidance_scale cfg steps similarity_boost style_exaggeration": "Voices here have no such "
    "setting: leave it out. `speed` sets the pace, and `motion` how much the head moves.",
    "user by author owner sender": "Who handed a job in is told by the owner of the file: leave this out.",
    "loop repeat": "A video plays once: repeat it in the player or an editor.",
    "zoom zoom_in zoom_out pan camera camera_motion camera_movement shot framing": "The camera stands still, and nearer than the "
    "picture nothing is shown: crop the picture closer, and hand that in. `aspect` or `size` cuts it to a shape.",
    "samplerate sample_rate sampling_rate audio_rate audio_bitrate bit_depth bitdepth channels stereo mono": "Sound is made "
    "as its format needs it: there is nothing to set. `format: wav` loses nothing.",
    "pitch tone intonation": "A voice keeps its own pitch: choose a higher or deeper one with `voice`; voices.txt in the outbox "
    "lists them.",
    "volume loudness gain": "Every result is made equally loud: there is nothing to set.",
    "captions_language caption_language captions_lang caption_lang subtitles_language subtitle_language subtitles_lang "
    "translate translation": "Captions are in the language that is spoken, and nothing is translated: `language` says which "
    "one that is.",
    "transparent transparency alpha": "Write `background: transparent`.",
    "greenscreen green_screen chroma chroma_key chromakey": "Write `background: green`.",
    "job jobs manifest items videos tasks": "Write the keys of a job without a key above them, beginning in the first column; a "
    "line --- stands between two jobs.",
}
_INSTEAD_OF = {name: advice for names, advice in _INSTEAD.items() for name in names.split()}
#: The group whose keys are meant first in the kinds of job that make a profile.
_PROFILE = "profile"
#: Least likeness (difflib's ratio) of a mistyped name and its key. In a short one a single letter counts for more.
_LIKENESS, _LIKENESS_OF_SHORT, _SHORT = 0.7, 0.6, 4


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", unicodedata.normalize("NFC", name).strip().lower())


def what_instead(name: str) -> str | None:
    """Return what to do instead of a key that does not exist, where people know it from other tools; else None."""
    return _INSTEAD_OF.get(_plain(name))


def meant_key(name: str, known: Iterable[str], below: Iterable[str] = (), unused: Collection[str] = ()) -> str | None:
    """Return the key that is probably meant by a name that is no key; None if there is none.

    Args:
        name: as somebody wrote it.
        known: the keys that are valid there.
        below: keys in groups, with their group, such as "motion.blink".
        unused: the known keys that do nothing in this kind of job, or are refused: they give way to another one of that sense.
    """
    if unused and _PROFILE not in unused and (path := f"{_PROFILE}.{_plain(name)}") in below:
        return path
    key = _near_key(_plain(name), list(known), below)
    return (
        key
        if key is None or key not in unused
        else used_key(_plain(name), known, unused) or used_key(key, known, unused) or key
    )


def used_key(name: str, known: Iterable[str], unused: Collection[str]) -> str | None:
    """Return the key of the same sense that a kind of job uses; None if there is none. `unused`: keys that it does not use."""
    known = list(known)
    return next((key for key in _KEYS_OF.get(name, ()) if key in known and key not in unused), None)


def is_other_name(name: str) -> bool:
    """Return whether people are known to write this name for a key, or for what no key does."""
    return _plain(name) in _KEYS_OF or _plain(name) in _INSTEAD_OF


def _near_key(plain: str, known: list[str], below: Iterable[str]) -> str | None:
    if plain in known:  # written in capitals, or with blanks
        return plain
    if key := used_key(plain, known, ()) or next((one for one in known if plain in _BELOW.get(one, "").split()), None):
        return key
    for path in below:
        if plain in (path, path.rpartition(".")[2]):
            return path
    close = difflib.get_close_matches(
        plain, known, n=1, cutoff=_LIKENESS_OF_SHORT if len(plain) <= _SHORT else _LIKENESS
    )
    if close:
        return close[0]
    others = [other for other in _KEYS_OF if used_key(other, known, ())]
    other = difflib.get_close_matches(plain, others, n=1, cutoff=0.85)
    return used_key(other[0], known, ()) if other else None
