"""Converts text to IPA phonemes with the library espeak-ng, which the package espeakng-loader contains.

Calls its C interface, which has not changed since 2013. The Python packages for it have twenty dependencies, and split text
at every comma, also in "3,5".
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

from daemon.errors import MachineError
from daemon.system.installation import how_to_install_extra

#: Joins the two letters of one sound, such as t^ʃ.
TIE = "^"
# espeak-ng's speak_lib.h
_NO_SOUND, _DONT_EXIT = 2, 0x8000  # AUDIO_OUTPUT_SYNCHRONOUS: nothing is played
_UTF8 = 1
_IPA, _TIED = 0x02, 0x80


class EspeakLibrary:
    """The loaded library. One per process, because its state is global.

    Raises:
        MachineError: `model-broken`: the library cannot be loaded.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader

            data = espeakng_loader.get_data_path().encode()
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
            rate = self._library.espeak_Initialize(_NO_SOUND, 0, data, _DONT_EXIT)
        except Exception as exc:  # no package, a missing file, or a library for another platform
            raise _library_error(str(exc)) from exc
        if rate <= 0:
            raise _library_error(f"its rules in {data.decode()} cannot be read")
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]
        self._voice = ""

    def phonemes(self, text: str, voice: str) -> str:
        """Return the phonemes of a text, words separated by spaces; "(en)" marks a switch to another language.

        Args:
            voice: name of one of its languages, such as "pt-br".

        Raises:
            MachineError: `model-broken`: there is no such voice.
        """
        if voice != self._voice and self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise _library_error(f"it has no '{voice}'")
        self._voice = voice
        buffer = ctypes.create_string_buffer(text.replace("\0", " ").encode())
        at = ctypes.c_void_p(ctypes.addressof(buffer))
        clauses = []
        while at.value:  # each call reads one clause and advances the pointer, at the end to null
            read = self._library.espeak_TextToPhonemes(ctypes.byref(at), _UTF8, _IPA | _TIED | ord(TIE) << 8)
            clauses.append((read or b"").decode())
        return " ".join(" ".join(clauses).split())


@lru_cache(maxsize=1)
def load_espeak() -> EspeakLibrary:
    """Load the library once and keep it for later jobs in this process."""
    return EspeakLibrary()


def _library_error(why: str) -> MachineError:
    return MachineError(
        "model-broken",
        f"espeak-ng, which reads languages other than English, cannot be loaded: {why}.",
        how_to_install_extra("languages", again=True),
    )
