"""espeak-ng as a library: text → phonemes in IPA. It and its rules are in the package espeakng-loader.

Called through its C interface, which has not changed since 2013. The Python packages around it would bring twenty others, and
take a text apart at every comma, also at that of "3,5".
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

from daemon.errors import MachineError
from daemon.system.installation import bring_extra

#: Joins the two letters of one sound, such as t^ʃ.
TIE = "^"
# espeak-ng's speak_lib.h
_NO_SOUND, _DONT_EXIT = 2, 0x8000  # AUDIO_OUTPUT_SYNCHRONOUS: nothing is played
_UTF8 = 1
_IPA, _TIED = 0x02, 0x80


class EspeakLibrary:
    """The loaded library. There is one for the process: its state is global.

    Raises:
        MachineError: `model-broken`: it cannot be loaded.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader

            data = espeakng_loader.get_data_path().encode()
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
            rate = self._library.espeak_Initialize(_NO_SOUND, 0, data, _DONT_EXIT)
        except Exception as exc:  # no package, a file that is gone, another machine's library
            raise _library_error(str(exc)) from exc
        if rate <= 0:
            raise _library_error(f"its rules in {data.decode()} cannot be read")
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]
        self._voice = ""

    def phonemes(self, text: str, voice: str) -> str:
        """Phonemes of a text, words apart by spaces; a language that it changes to stands in brackets: "(en)".

        Args:
            voice: name of a file among its languages, such as "pt-br".

        Raises:
            MachineError: `model-broken`: it has no such voice.
        """
        if voice != self._voice and self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise _library_error(f"it has no '{voice}'")
        self._voice = voice
        buffer = ctypes.create_string_buffer(text.replace("\0", " ").encode())
        at = ctypes.c_void_p(ctypes.addressof(buffer))
        clauses = []
        while at.value:  # each call reads one clause and moves on; at the end it leaves none
            read = self._library.espeak_TextToPhonemes(ctypes.byref(at), _UTF8, _IPA | _TIED | ord(TIE) << 8)
            clauses.append((read or b"").decode())
        return " ".join(" ".join(clauses).split())


@lru_cache(maxsize=1)
def load_espeak() -> EspeakLibrary:
    """The library, loaded once and kept for the jobs that follow in this process."""
    return EspeakLibrary()


def _library_error(why: str) -> MachineError:
    return MachineError(
        "model-broken",
        f"espeak-ng, which reads languages other than English, cannot be loaded: {why}.",
        bring_extra("languages", again=True),
    )
