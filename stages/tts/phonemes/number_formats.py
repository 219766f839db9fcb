"""Tables of figures, money, dates and abbreviations by language, for what espeak-ng misreads.

It reads plain and decimal numbers, %, most ordinals, and Roman numerals except in French correctly; these are not listed.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class NumberFormats:
    """Forms of numbers and abbreviations in one language.

    Attributes:
        words: abbreviation in lower case, with its full stop → spoken words.
        units: unit after a number → its singular and plural.
        money: sign or code → singular, plural, and template of the hundredth parts.
        months: names, January first.
        date: template of day, month's name and year.
        hour, minutes: templates of a full hour, and of hour and minutes.
        minus: word before a negative number.
        point: decimal separator.
        one: the number one before a unit.
        times: separators of hours and minutes.
        roman: True if Roman numerals must be written in figures.
        ordinal: ending of an ordinal as written, and one that espeak-ng reads correctly.
        clock: word in lower case that may follow a time and is part of its template.
        days: names of the days of a month, where espeak-ng does not read "3." before a month as an ordinal.
    """

    words: dict[str, str]
    units: dict[str, tuple[str, str]]
    money: dict[str, tuple[str, str, str]]
    months: tuple[str, ...]
    date: str
    hour: str
    minutes: str
    minus: str
    point: str = ","
    one: str = "1"
    times: str = ":"
    roman: bool = False
    ordinal: tuple[str, str] = field(default=("", ""))
    clock: str = ""
    days: tuple[str, ...] = ()


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _pairs(text: str) -> dict[str, str]:
    """Parse "a=b c; d=e" to a dictionary."""
    return {key.strip(): said.strip() for key, _, said in (entry.partition("=") for entry in text.split(";"))}


def _forms(text: str) -> dict[str, tuple[str, str]]:
    """Parse "km=kilometre/kilometres; …" to key → (singular, plural)."""
    return {key: (said.partition("/")[0], said.rpartition("/")[2]) for key, said in _pairs(text).items()}


def _money(text: str, parts: str, **other: str) -> dict[str, tuple[str, str, str]]:
    return {key: (*forms, other.get(key, parts)) for key, forms in _forms(text).items()}


#: Of a language without a table: all is left to espeak-ng.
NO_FORMATS = NumberFormats(words={}, units={}, money={}, months=(), date="", hour="", minutes="", minus="", times="")

NUMBER_FORMATS = {
    "de": NumberFormats(
        words=_pairs(
            "z.b.=zum Beispiel; d.h.=das heißt; u.a.=unter anderem; usw.=und so weiter; bzw.=beziehungsweise; ca.=zirka;"
            "dr.=Doktor; prof.=Professor; hr.=Herr; fr.=Frau; nr.=Nummer; st.=Sankt; s.=Seite; tel.=Telefon; inkl.=inklusive;"
            "evtl.=eventuell; ggf.=gegebenenfalls; vgl.=vergleiche; mio.=Millionen; mrd.=Milliarden; &=und; %=Prozent"
        ),
        units=_forms(
            "km=Kilometer; m=Meter; cm=Zentimeter; mm=Millimeter; kg=Kilogramm; g=Gramm; l=Liter; h=Stunde/Stunden;"
            "min=Minute/Minuten; s=Sekunde/Sekunden; °c=Grad; km/h=Kilometer pro Stunde; m²=Quadratmeter; mw=Megawatt"
        ),
        money=_money("€=Euro; $=Dollar; us$=Dollar; £=Pfund; eur=Euro; chf=Franken; fr.=Franken", "{}"),
        months=_names("Januar Februar März April Mai Juni Juli August September Oktober November Dezember"),
        date="{} {} {}", hour="{} Uhr", minutes="{} Uhr {}", minus="minus", one="ein", clock="uhr",
        days=_names(
            "ersten zweiten dritten vierten fünften sechsten siebten achten neunten zehnten elften zwölften dreizehnten "
            "vierzehnten fünfzehnten sechzehnten siebzehnten achtzehnten neunzehnten zwanzigsten einundzwanzigsten "
            "zweiundzwanzigsten dreiundzwanzigsten vierundzwanzigsten fünfundzwanzigsten sechsundzwanzigsten "
            "siebenundzwanzigsten achtundzwanzigsten neunundzwanzigsten dreißigsten einunddreißigsten"
        ),
    ),
    "es": NumberFormats(
        words=_pairs(
            "p.=página; pp.=páginas; pág.=página; págs.=páginas; núm.=número; n.º=número; nº=número; n°=número; &=y;"
            "av.=avenida; avda.=avenida; c/=calle; ee.uu.=Estados Unidos; eeuu=Estados Unidos; p.ej.=por ejemplo; d.=don;"
            "dña.=doña; sres.=señores; 3er=tercer; 3.er=tercer; 1er=primer; 1.er=primer"
        ),
        units=_forms(
            "km=kilómetro/kilómetros; m=metro/metros; cm=centímetro/centímetros; mm=milímetro/milímetros; kg=kilo/kilos;"
            "g=gramo/gramos; l=litro/litros; h=hora/horas; min=minuto/minutos; s=segundo/segundos; °c=grado/grados;"
            "km/h=kilómetro por hora/kilómetros por hora; m²=metro cuadrado/metros cuadrados; mw=megavatio/megavatios"
        ),
        money=_money("€=euro/euros; $=dólar/dólares; us$=dólar/dólares; £=libra/libras; eur=euro/euros", "con {}"),
        months=_names("enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"),
        date="{} de {} de {}", hour="{}", minutes="{} y {}", minus="menos", one="un",
    ),
    "fr": NumberFormats(
        words=_pairs(
            "m.=monsieur; mm.=messieurs; n°=numéro; nº=numéro; p.=page; pp.=pages; tél.=téléphone; av.=avenue;"
            "c.-à-d.=c'est-à-dire; p.ex.=par exemple; 1re=première; 1res=premières; &=et"
        ),
        units=_forms(
            "m=mètre/mètres; kg=kilo/kilos; g=gramme/grammes; l=litre/litres; h=heure/heures; min=minute/minutes;"
            "s=seconde/secondes; °c=degré/degrés; km/h=kilomètre à l'heure/kilomètres à l'heure;"
            "m²=mètre carré/mètres carrés; mw=mégawatt/mégawatts"
        ),
        money=_money("€=euro/euros; $=dollar/dollars; £=livre/livres; eur=euro/euros", "{}"),
        months=_names("janvier février mars avril mai juin juillet août septembre octobre novembre décembre"),
        date="{} {} {}", hour="{} heures", minutes="{} heures {}", minus="moins", times=":h", roman=True,
        ordinal=("e", "ème"),
    ),
    "it": NumberFormats(
        words=_pairs(
            "sig.=signor; sigg.=signori; sig.ra=signora; sig.na=signorina; dott.=dottor; dott.ssa=dottoressa; dr.=dottor;"
            "prof.=professor; prof.ssa=professoressa; avv.=avvocato; ing.=ingegner; ecc.=eccetera; n.=numero;"
            "nº=numero; n°=numero; pag.=pagina; pagg.=pagine; tel.=telefono; es.=esempio; &=e"
        ),
        units=_forms(
            "km=chilometro/chilometri; m=metro/metri; cm=centimetro/centimetri; mm=millimetro/millimetri; kg=chilo/chili;"
            "g=grammo/grammi; l=litro/litri; h=ora/ore; min=minuto/minuti; s=secondo/secondi; °c=grado/gradi;"
            "km/h=chilometro all'ora/chilometri all'ora; m²=metro quadrato/metri quadrati; mw=megawatt/megawatt"
        ),
        money=_money("€=euro/euro; $=dollaro/dollari; £=sterlina/sterline; eur=euro/euro", "e {}"),
        months=_names("gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre"),
        date="{} {} {}", hour="{}", minutes="{} e {}", minus="meno", one="un",
    ),
    "pt": NumberFormats(
        words=_pairs(
            "sr.=senhor; sra.=senhora; srs.=senhores; srta.=senhorita; prof.=professor; profa.=professora; n.º=número;"
            "n°=número; nº=número; pág.=página; págs.=páginas; tel.=telefone; av.=avenida; r.=rua; p.ex.=por exemplo; &=e"
        ),
        units=_forms(
            "km=quilômetro/quilômetros; m=metro/metros; cm=centímetro/centímetros; mm=milímetro/milímetros; kg=quilo/quilos;"
            "g=grama/gramas; l=litro/litros; h=hora/horas; min=minuto/minutos; s=segundo/segundos; °c=grau/graus;"
            "km/h=quilômetro por hora/quilômetros por hora; m²=metro quadrado/metros quadrados; mw=megawatt/megawatts"
        ),
        money=_money(
            "r$=real/reais; €=euro/euros; $=dólar/dólares; us$=dólar/dólares; £=libra/libras; eur=euro/euros", "e {}"
        ),
        months=_names("janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro"),
        date="{} de {} de {}", hour="{} horas", minutes="{} e {}", minus="menos", one="um", times=":h",
    ),
    "hi": NumberFormats(
        words=_pairs("डॉ.=डॉक्टर; डॉ=डॉक्टर; प्रो.=प्रोफ़ेसर; कि.मी.=किलोमीटर; &=और"),
        units=_forms(
            "km=किलोमीटर; किमी=किलोमीटर; m=मीटर; मी=मीटर; cm=सेंटीमीटर; kg=किलो; किग्रा=किलो; g=ग्राम; l=लीटर; h=घंटा/घंटे;"
            "min=मिनट; s=सेकंड; °c=डिग्री; km/h=किलोमीटर प्रति घंटा; mw=मेगावाट"
        ),
        money=_money(
            "₹=रुपया/रुपये; रु.=रुपया/रुपये; $=डॉलर; €=यूरो; £=पाउंड", "{} सेंट", **{"₹": "{} पैसे", "रु.": "{} पैसे", "£": "{} पेंस"}
        ),
        months=_names("जनवरी फ़रवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर अक्टूबर नवंबर दिसंबर"),
        date="{} {} {}", hour="{}", minutes="{} {}", minus="माइनस", point=".",
    ),
}  # fmt: skip
