"""Words that people write in German, French and Spanish for the values of keys, and how words are compared with them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

#: Words for yes and no, also for turning on and off.
_YES_OR_NO_WORDS = {
    "yes": "true yes on ja an ein oui vrai si sí encendido verdadero activado activé activée",
    "no": "false no off none never nein aus kein keine keiner keines ohne nie non aucun aucune sans jamais faux desactivado "
    "désactivé désactivée apagado ninguno ninguna nunca falso sin",
}
#: Key → what to write → words for it.
WORDS_IN_OTHER_LANGUAGES: dict[str, dict[str, str]] = {
    "kind": {"speech": "sprache ton parole voix voz habla", "detect": "prüfen pruefen vérifier comprobar",
             "voice": "stimme", "encode": "umwandeln konvertieren convertir", "lipsync": "lippensynchron"},
    "quality": {"high": "hoch hohe beste besser gut haut haute élevé élevée meilleure alta alto mejor buena",
                "medium": "mittel mittlere moyen moyenne media medio",
                "low": "niedrig niedrige gering basse bas faible baja bajo",
                "draft": "entwurf vorschau brouillon aperçu borrador"},
    "captions": {"burn": "eingebrannt einbrennen incrusté incrustés incruster incrustado incrustados quemado",
                 "none": "kein keine ohne nein aucun sans non ninguno sin"},
    "fit": {"crop": "zuschneiden beschneiden schneiden recadrer rogner couper recortar",
            "pad": "rand ränder balken bandes bordes",
            "blur": "unscharf flou desenfocado"},
    "sync_mode": {"cut": "kürzen kürzeste couper cortar", "longest": "längste lang plus_long largo",
                  "loop": "schleife wiederholen boucle bucle repetir"},
    "face": {"0": "links linke gauche izquierda", "largest": "größte größtes grösste plus_grand grande mayor",
             "center": "mitte centre centro"},
    "expressions.name": {"smile": "lächeln laecheln lachen fröhlich freundlich glücklich sourire souriant heureux joyeux sonrisa "
                                  "sonrie sonriente feliz alegre",
                         "serious": "ernst traurig böse wütend sérieux sérieuse triste serio seria enojado",
                         "surprise": "überrascht überraschung surpris surprise sorpresa sorprendido",
                         "neutral": "neutre neutro normal ruhig calme"},
    "priority": {"high": "hoch hohe dringend eilig sofort haute haut urgente alta alto",
                 "low": "niedrig gering basse bas baja bajo",
                 "normal": "mittel normale moyenne media"},
    "speed": {"1.2": "schnell schneller rapide vite rápido rápida", "0.85": "langsam langsamer lent lente lento lenta despacio"},
    "motion.head": {"0.5": "wenig gering leicht schwach peu léger légère poco leve suave",
                    "1.5": "viel stark lebhaft beaucoup fort mucho fuerte"},
    "motion": {"{head: 0, gaze: 0, brow: 0, breath: 0}": "aus keine ohne still nein aucun aucune sans non ninguno sin",
               "{head: 0.5}": "wenig ruhig peu calme poco", "{head: 1.5}": "viel lebhaft beaucoup mucho"},
    "on_error": {"stop": "anhalten abbrechen stopp arrêter parar detener",
                 "continue": "weiter fortsetzen continuer continuar seguir"},
}  # fmt: skip
_BACKGROUNDS = {
    "blur": "unscharf unschärfe verschwommen weichgezeichnet flou floue flouté desenfocado desenfocada borroso borrosa",
    "green": "grün gruen vert verte verde", "transparent": "durchsichtig transparente",
    "keep": "behalten beibehalten garder conserver mantener conservar",
}  # fmt: skip
_COLOURS = {
    "#000000": "schwarz noir noire negro negra", "#ffffff": "weiß weiss blanc blanche blanco blanca",
    "#ff0000": "rot rouge rojo roja", "#0000ff": "blau bleu bleue azul", "#ffff00": "gelb jaune amarillo amarilla",
    "#808080": "grau gris grise", "#ffa500": "naranja", "#800080": "lila violett morado", "#ffc0cb": "rosa rose",
    "#8b4513": "braun marron marrón",
}  # fmt: skip


def bare_word(word: str) -> str:
    """Return a word in small letters without blanks, hyphens and accents: people leave them out, and a Mac takes them apart."""
    apart = unicodedata.normalize("NFD", re.sub(r"[\s_-]", "", word.casefold()))
    return "".join(char for char in apart if not unicodedata.combining(char))


def value_of_words(table: Mapping[str, str]) -> dict[str, str]:
    """Return bare word → what to write, of what to write → words."""
    return {bare_word(word): value for value, words in table.items() for word in words.split()}


_YES_OR_NO = value_of_words(_YES_OR_NO_WORDS)
_BACKGROUND_OF, _COLOUR_OF = value_of_words(_BACKGROUNDS), value_of_words(_COLOURS)


def yes_or_no(word: str) -> bool | None:
    """Return whether a word says yes; None where it says neither yes nor no."""
    meant = _YES_OR_NO.get(bare_word(word))
    return None if meant is None else meant == "yes"


def background_in_other_language(word: str) -> str | None:
    """Return the background that a word means; None where it means none."""
    bare = bare_word(word)
    return _BACKGROUND_OF.get(bare) or (f'"{_COLOUR_OF[bare]}"' if bare in _COLOUR_OF else None)
