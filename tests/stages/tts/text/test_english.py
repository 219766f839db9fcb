"""Shapes that people write: what an English voice says of them, who owns each word, and what a reader does not see."""

from __future__ import annotations

import pytest

from stages.tts.phonemes.english_words import is_english_word
from stages.tts.phonemes.reading import EnglishFrontEnd
from stages.tts.text.clean import clean_text
from stages.tts.text.english_normalizer import normalize_english
from stages.tts.text.sentences import split_text
from stages.tts.text.spoken_words import WordPreparer


def said(text: str, language: str = "en") -> str:
    """What an engine is given, sentence by sentence."""
    preparer = WordPreparer(language, is_word=is_english_word)
    return " | ".join(" ".join(preparer.prepare(sentence.words).words) for sentence in split_text(clean_text(text)))


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("From $5-$10, €5–10m or £1.50-£2.", "From 5 to 10 dollars, 5 to 10 million euros or "
         "1 pound and 50 pence to 2 pounds."),
        ("A $5 bill, $1.5M, €3bn, US$1, 2,99 €!", "A 5 dollar bill, 1.5 million dollars, 3 billion euros, 1 US dollar, "
         "2 euros and 99 cents!"),
        ("She paid $5, 10 people came.", "She paid 5 dollars, 10 people came."),
        ("I gave $5 to 10 people.", "I gave 5 dollars to 10 people."),
        ("$99/month, 3 days/week, and/or", "99 dollars per month, 3 days per week, and/or"),
        ("On 12.5.2024, 10-12-2024, 31/12/24.", "On 12 May 2024, October 12, 2024, 31 December 2024."),
        ("At 2024-03-05T10:00.", "At March 5, 2024, at 10:00."),
        ("The 10–12 May, May 10-12, 1st–3rd.", "the 10th to the 12th of May, May 10th to 12th, 1st to 3rd."),
        ("Mon–Fri, 9am–5pm or 9:00-17:00", "Monday to Friday, 9 a.m. to 5 p.m. or 9:00 to 17:00"),
        ("At 7.30pm on Jan. 5.", "At 7:30 p.m. on Jan. 5."),
        ("(555) 123-4567 or +44 20 7946 0958.", "5 5 5, 1 2 3, 4 5 6 7 or plus 4 4, 2 0, 7 9 4 6, 0 9 5 8."),
        ("ISBN 978-3-16-148410-0.", "ISBN 9 7 8, 3, 1 6, 1 4 8 4 1 0, 0."),
        ("192.168.0.1 and v2.3.1 and 3.10", "192 dot 168 dot 0 dot 1 and version 2 point 3 point 1 and 3 point 1 0"),
        ("20 MB/s, 100 Mbit/s, 1 l/min, 6 ft/s, 10 hPa, 5 kJ", "20 megabytes per second, 100 megabits per second, "
         "1 liter per minute, 6 feet per second, 10 hectopascals, 5 kilojoules"),
        ("Call 911 or dial 112, not 911 times.", "Call 9 1 1 or dial 1 1 2, not 911 times."),
        ("At 5 Elm Dr. in Rome, on Oak Dr., Dr. Smith met Dr. Lee.",
         "At 5 Elm Drive in Rome, on Oak Drive, Dr. Smith met Dr. Lee."),
        ("From A to Z, A-Z, the \"A\", A to him, a B2B firm", "From A. to Z, A. to Z, the \"A.\", A to him, a B2B firm"),
        ("5 * 3 = 15, PM2.5", "5 times 3 = 15, PM 2.5"),
        ("1,5 kg, 1 250 000, 3,2,1, .5", "1.5 kilograms, 1,250,000, 3, 2, 1, 0.5"),
        ("He is 5'10\". A 10 m cable, 3x.", "He is 5 foot 10. | A 10 meter cable, 3 times."),
        ("5x5, 1920x1080, 10M+ users, 250 g", "5 by 5, 1920 by 1080, 10 million plus users, 250 grams"),
        ("1½ or 1 1/2 cups, 10/10, step 1/3", "1 and a half or 1 and a half cups, 10 out of 10, step 1 of 3"),
        ("3:2, 10-20%, pages 10-12, 3.8-3.10.", "3 to 2, 10 to 20%, pages 10 to 12, 3.8 to 3 point 1 0."),
        ("−5 °C, 10⁶, 1e-5", "minus 5 °C, 10^6, 1 times 10 to the power of minus 5"),
        ("C# and CO₂ [1] as he said.[2]", "C sharp and C O 2 as he said."),
        ("TELL US MORE! IT IS IN THE US. Our IT.", "tell us more! | it is in the US. | Our IT."),
        ("HE IS IN. OH NO! MR. O'BRIEN SAT, TOO.", "he is in. | oh no! | mr. O'Brien sat, too."),
        ("I'M SURE THEY DON'T. THE FBI AND IBM USE USB.", "I'm sure they don't. | the FBI and IBM use USB."),
        ("That is NOT what HE said in Columbus, OH.", "That is NOT what he said in Columbus, OH."),
        ("IT SUPPORT HELPS THE WHO.", "IT support helps the who."),
        ("don`t, can´t, it′s, rock ʼn roll, 6′2″", "don’t, can’t, it’s, rock and roll, 6 foot 2"),
        ("rock 'n' roll, fish ’n’ chips, 'N Sync", "rock and roll, fish and chips, 'N Sync"),
        ("A WELL-KNOWN CAT SAT. THE COVID-19 CAT SAT.", "A well-known cat sat. | the COVID-19 cat sat."),
        ("TOM/JERRY SAT AT THE TCP/IP AND USB-C DESK.", "tom/jerry sat at the TCP/IP and USB-C desk."),
        ("A US-CHINA TO-DO LIST, FOR LUKAS.", "A US-china to-do list, for lukas."),
        ("1.000,00 € or 1.234,56 € or € 1.234,56", "1,000 euros or 1,234 euros and 56 cents or 1,234 euros and 56 cents"),
        ("123.500 €, €5.000, 99,- EUR", "123,500 euros, 5,000 euros, 99 euros"),
        ("CHF 1'250.50 and 1\u202f234,56 €", "1,250 Swiss francs and 50 centimes and 1,234 euros and 56 cents"),
        ("1.234.567 at 192.168.100.200", "1,234,567 at 192 dot 168 dot 100 dot 200"),
        ("The order─be quick‒please, 555‒0142 ⸺ now", "The order—be quick—please, 555-0142 — now"),
        ("if (a<b && c>d), I❤you", "if (a<b and c>d), I you"),
        ("Yes.\n═══\n···\nNo.", "Yes. |  | No."),
        ("2 tbsp. of oil, $20/mo. or Ctrl+C", "2 tablespoons of oil, 20 dollars per month or Control+C"),
        # and what the voices read right, or nobody can be sure of
        ("7:30, 555-0142, COVID-19, 50-year-old, '90s, 3-2=1", "7:30, 555-0142, COVID-19, 50-year-old, '90s, 3-2=1"),
        ("1,000 or 2024/25, AT&T, x², 1/2, 5G, the 90s", "1,000 or 2024/25, AT&T, x², 1/2, 5G, the 90s"),
        ("It was $5.00 a.m.? No. 5 is 6-pack.", "It was 5 dollars a.m.? | No. 5 is 6-pack."),
    ],
)  # fmt: skip
def test_shapes_are_said_as_people_say_them(text: str, spoken: str) -> None:
    assert said(text) == spoken


def test_dates_of_figures_go_by_the_region() -> None:
    assert said("12/5/2024 and 1-2-2024", "en-US") == "December 5, 2024 and January 2, 2024"
    assert said("12/5/2024 and 1-2-2024", "en-GB") == "12 May 2024 and 1 February 2024"
    assert said("12.5.2024, $5", "es") == "12.5.2024, $5"


def test_every_spoken_word_knows_what_was_written() -> None:
    # Given shapes of several words among others
    written = ["Call", "(555)", "123-4567,", "or", "$5", "-", "$10", "on", "10–12", "May,", "with", "1", "1/2", "cups."]
    # When they are prepared
    prepared = WordPreparer("en").prepare(written)
    owned: dict[str, str] = {}
    for word, owner in zip(prepared.words, prepared.owners, strict=True):
        owned[written[owner]] = f"{owned.get(written[owner], '')} {word}".strip()
    # Then each written word has its own part, in order
    assert list(prepared.owners) == sorted(prepared.owners)
    assert owned["(555)"] == "5 5 5,"
    assert owned["123-4567,"] == "1 2 3, 4 5 6 7,"
    assert (owned["$5"], owned["$10"]) == ("5", "10 dollars")
    assert owned["10–12"] == "the 10th to the 12th of"
    assert (owned["1"], owned["1/2"]) == ("1", "and a half")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("This is <b>bold</b><br/>and <a href='x'>here</a>", "This is bold\nand here"),
        ("<p>One.</p><p>Two &amp; three&nbsp;&#52;</p>", "\n\nOne.\n\n\n\nTwo & three\xa04\n\n"),
        ("if a < b and c > d, R&D; <3 &nonsense;", "if a < b and c > d, R&D; <3 &nonsense;"),
        ("The oﬃce is ﬁne, Sof\u00adtware in\u200bside", "The office is fine, Software inside"),
        ("inter-\nnational, pre-\nand post-war - \nor so", "international, pre-\nand post-war - \nor so"),
        ("a well-\nknown mother-in-\nlaw", "a well-known mother-in-law"),
    ],
)
def test_what_no_reader_sees_is_not_read(text: str, seen: str) -> None:
    assert clean_text(text) == seen


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("James Cameron met Queen Victoria.", "James Cameron met Queen Victoria."),
        ("the book I read, Chapter Changes", "the book I read, Chapter Changes"),
        ("USB Type C, Gen Z, Type LCD", "USB Type C, Gen Z, Type LCD"),
        ("Oh no. The answer is no.", "Oh no. The answer is no."),
        ("Louis XIV, Henry VIII's, Part II's, no. 5", "Louis the fourteenth, Henry the eighth's, Part two's, number 5"),
        ("Chapter X, Gen. Lee, Super Bowl LVIII", "Chapter 10, General Lee, Super Bowl 58"),
    ],
)
def test_names_and_words_are_taken_for_no_numbers(text: str, spoken: str) -> None:
    assert normalize_english(text) == spoken


def test_no_ends_a_sentence_unless_a_number_follows() -> None:
    assert [s.text for s in split_text("Oh no. He left in Jan. We met on Jan. 5 in no. 7.")] == [
        "Oh no.", "He left in Jan.", "We met on Jan. 5 in no. 7.",
    ]  # fmt: skip


def test_a_table_is_read_row_by_row_without_its_lines() -> None:
    assert said("| Name | Price |\n|------|:-----:|\n| Tea | $2 |") == "Name, Price. | Tea, 2 dollars."


def test_money_is_heard_with_its_name() -> None:
    # Given an amount for which the front end alone says no currency
    reading = EnglishFrontEnd().read(WordPreparer("en").prepare(["50€"]).words)
    # Then the euros are there
    assert reading.chars == "fˈɪfti jˈʊɹOz"


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Welcome to\nour little garden shop,\nwhich is\nopen every day.", 1),  # a small letter goes on
        ("Shopping list for Monday\nMilk\nBread", 3),  # a heading and items end
        ("milk\nbread\nbrown eggs", 3),
        ("This is a line that an editor has broken at about fifty\nMonday is still in it.", 1),  # no room for "Monday"
        ("One ends here.\nand this begins small.", 2),
    ],
)
def test_a_line_ends_a_sentence_only_where_its_writer_meant_it(text: str, sentences: int) -> None:
    assert len(said(text).split(" | ")) == sentences


def test_a_number_that_other_countries_write_for_thousands_is_told_of() -> None:
    preparer = WordPreparer("en")
    for sentence in split_text("It weighs 12.500 kg, costs $1.234 and pi is 3.141; 1.000,00 € is clear."):
        preparer.prepare(sentence.words)
    assert preparer.unclear == ["12.500", "$1.234"]


@pytest.mark.parametrize(
    ("language", "told"),
    [("en", {"05/06/07": ("May 6, 2007", "5 June 2007")}), ("en-US", {}), ("en-GB", {}), ("de", {})],
)
def test_a_date_whose_order_nobody_can_know_is_told_of(language: str, told: dict[str, tuple[str, str]]) -> None:
    preparer = WordPreparer(language)
    preparer.prepare(["On", "05/06/07,", "25/12/24,", "12/25/24,", "5/5/25,", "12.5.2024", "and", "2024-05-06."])
    assert preparer.unclear_dates == told
