"""Dictionaries of which a process reads only the entries that it is asked for."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.tts.engines.assets import hibari_file
from stages.tts.phonemes import dictionary_files, reading
from stages.tts.phonemes.dictionary_files import DictionaryFile
from tests.conftest import TALE

WORDS = {f"word{number}": {"NN": number} for number in range(3000)} | {"naïve": "nˈɑˌiv", "\ud800": 1}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DictionaryFile:
    """A dictionary with two large parts, and a cache with its file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    packed = tmp_path / "words.json.gz"
    packed.write_bytes(gzip.compress(json.dumps({"first": WORDS, "second": {"only": "here"}, "tags": ["NN"]}).encode()))
    made = DictionaryFile(packed, large=("first", "second"))
    assert made.read()["first"] == WORDS
    return made


def kept(tmp_path: Path) -> Path:
    return next((tmp_path / "cache" / "avatard" / "dictionaries").iterdir())


def check(found: dict[str, Any]) -> None:
    assert all(found["first"].get(word) == value for word, value in WORDS.items())
    assert "word7" in found["first"]
    assert ("only" in found["first"], found["first"].get("only")) == (False, None)
    assert (found["second"].get("only"), found["tags"]) == ("here", ["NN"])


def test_a_second_process_reads_only_what_it_asks_for(source: DictionaryFile, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a process that could not read the whole
    monkeypatch.setattr("gzip.decompress", lambda _: pytest.fail("it read the whole dictionary"))
    # Then it has all entries
    check(source.read())


def test_a_long_text_does_not_bring_all_entries_into_memory(
    source: DictionaryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dictionary_files, "_KEPT", 100)
    found = source.read()["first"]
    tracemalloc.start()
    try:
        # Given what as many entries take as are kept
        for word in list(WORDS)[:100]:
            found.get(word)
        some, _ = tracemalloc.get_traced_memory()
        # When many more are asked for, each more than once
        for word in [*WORDS, *WORDS]:
            found.get(word)
        # Then not many more are held
        held, _ = tracemalloc.get_traced_memory()
        assert held < 3 * some
    finally:
        tracemalloc.stop()


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "its end is missing": lambda data: data[:-100],
    "it is empty": lambda data: b"",
    "its head is something else": lambda data: b"[]\n" + data,
    "its parts are something else": lambda data: (
        data[: data.index(b"\n") + 1] + b"x" * (len(data) - data.index(b"\n") - 1)
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_damaged_file_costs_no_word(source: DictionaryFile, tmp_path: Path, how: str) -> None:
    # Given a file that was damaged before it was opened
    good = kept(tmp_path).read_bytes()
    kept(tmp_path).write_bytes(SPOILED[how](good))
    # Then all entries are there
    check(source.read())
    # And the next process makes the file again
    source.read()
    assert kept(tmp_path).read_bytes() == good


def test_who_has_no_cache_has_the_dictionary(
    source: DictionaryFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    check(source.read())


@pytest.mark.usefixtures("models")  # the front end reads all its dictionaries, a second for each
@pytest.mark.parametrize("british", [False, True])
def test_words_sound_as_the_package_says_them(british: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the front end as the package has it, and ours, which finds its files
    from hibari.g2p import G2P

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    whole = G2P(british=british)
    reading._G2P(british)
    ours = reading._G2P(british)
    # Then both say the same: words of the dictionaries, names, and words that stand in neither
    words = list(json.loads(gzip.decompress(hibari_file("lexicon_us_silver.json.gz").read_bytes())))[::400]
    for text in (
        TALE,
        "Dr. Smith's cats didn't live in St. Louis; he read the lead article. Zorblatt!",
        *words,
    ):
        assert ours(text) == whole(text)
