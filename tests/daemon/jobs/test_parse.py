"""A manifest that is wrong is told so with the key, the place, and what would be right; and it never does harm."""

from __future__ import annotations

import contextlib
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from daemon.jobs.parse import parse_manifest
from daemon.jobs.untrusted import read_manifest


def one(text: str | bytes) -> Manifest | JobError:
    try:
        return parse_manifest(text.encode() if isinstance(text, str) else text)[0]
    except JobError as exc:
        return exc


def good(text: str) -> Manifest:
    result = one(text)
    assert isinstance(result, Manifest), result
    return result


def test_the_smallest_manifest_is_enough() -> None:
    # Given the two lines of the README / When it is read / Then everything else has its default
    job = good("text: Hello.\nimage: portrait.png\n")
    assert (job.kind, job.frame_rate, job.voice, list(job.companions().values())) == (
        "video",
        Fraction(25),
        "default",
        ["portrait.png"],
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("text: 7:30", "7:30"),
        ("text: 0123", "0123"),
        ("text: yes", "yes"),
        ("text: 2026-01-02", "2026-01-02"),
        ("text: '~'", "~"),
    ],
)
def test_text_stays_as_written(written: str, meant: str) -> None:
    # Given text that YAML 1.1 would take for a number, a date or a truth value / Then it stays text
    assert good(f"{written}\nimage: p.png").text == meant


def test_norwegian_is_a_language_and_metadata_keeps_its_types() -> None:
    job = good("text: a\nimage: p.png\nlanguage: no\nmetadata: {n: 3, ok: true, s: '3', v: 1.50, list: [a, null]}")
    assert job.language == "no"
    assert job.metadata == {"n": 3, "ok": True, "s": "3", "v": 1.5, "list": ["a", None]}


@pytest.mark.parametrize(
    ("written", "tag"),
    [
        ("en_US", "en-US"),
        ("English", "en"),
        ("jp", "ja"),
        ("cn", "zh"),
        ("ger", "de"),
        ("tedesco", "de"),
        ("English (UK)", "en-GB"),
        ("en-UK", "en-GB"),
        ("pt-BR", "pt-BR"),
    ],
)
def test_a_language_may_be_written_as_people_do(written: str, tag: str) -> None:
    assert good(f"text: a\nimage: p.png\nlanguage: {written}").language == tag


@pytest.mark.parametrize(
    ("fps", "rate"), [("29.97", Fraction(30000, 1001)), ("30000/1001", Fraction(30000, 1001)), ("24", Fraction(24))]
)
def test_frame_rates_are_exact(fps: str, rate: Fraction) -> None:
    assert good(f"text: a\nimage: p.png\nfps: {fps}").frame_rate == rate


@pytest.mark.parametrize(
    ("manifest", "code", "says"),
    [
        ("txt: a\nimage: p.png", "manifest-unknown-key", ("`txt`", "line 1, column 1", "Did you mean `text`?")),
        (
            "text: a\nimage: p.png\nmotion:\n  haed: 1",
            "manifest-unknown-key",
            ("`motion.haed`", "line 4, column 3", "`head`"),
        ),
        ("text: a\nimage: p.png\nfps: 31", "manifest-invalid", ("`fps`", "23.976", "line 3, column 6", "31")),
        ("text: a\nimage: p.png\nspeed: fast", "manifest-invalid", ("`speed`", "number", "fast")),
        ("text: a\nimage: ../../etc/passwd", "manifest-invalid", ("`image`", "next to the manifest", "line 2")),
        ("text: a\nimage: /etc/passwd", "manifest-invalid", ("`image`", "next to the manifest")),
        ("text: a\nimage: p.png\noutput: ../x", "manifest-invalid", ("`output`", "without folders")),
        ("text: a\nimage: p.png\nsize: 721x720", "manifest-invalid", ("`size`", "even")),
        ("image: p.png", "manifest-invalid", ("`text` is missing",)),
        ("text: a", "manifest-invalid", ("`image` is missing",)),
        ("text: a\ntext: b\nimage: p.png", "yaml-duplicate-key", ("`text`", "line 2")),
        ("text: a: b\nimage: p.png", "yaml-invalid", ("line 1, column 8", 'Write text: "a: b"')),
        ("text: !!python/object/apply:os.system [id]\nimage: p.png", "manifest-invalid", ("`text`",)),
        ("- a\n- b", "manifest-invalid", ("The manifest is a list", "---")),
        ("- text: a\n- image: b.png", "manifest-invalid", ("Write the keys of a job without the - before each.",)),
        (
            '{"text": "a"}\n{"text": "b"},',
            "yaml-invalid",
            ("(line 2)", "Write a line --- between two jobs, and no comma."),
        ),
        (
            "text;image\nHello;a.png",
            "manifest-invalid",
            ("which is no manifest (line 1)", "ends in .csv", "--- between two."),
        ),
        ("Hello everybody", "manifest-invalid", ("write `text: |`", "such as `image: portrait.png`.")),
        ('[{"text": "a"}, {"text": "b"}]', "manifest-invalid", ("The manifest is a list", "Remove the [ and ]")),
        ("All that is said.", "manifest-invalid", ("is no `key: value` (line 1)", "write `text: |`")),
        ("", "manifest-empty", ("empty",)),
        ("# only a comment", "manifest-empty", ("empty",)),
        ("[" * 5000, "yaml-too-large", ("deeply",)),
        ("text: \x00", "manifest-not-text", ("text file",)),
    ],
)
def test_a_wrong_manifest_is_explained(manifest: str, code: str, says: tuple[str, ...]) -> None:
    # When a wrong manifest is read / Then code, key, place and remedy are all there
    error = one(manifest)
    assert isinstance(error, JobError)
    assert error.code == code
    for words in says:
        assert words in str(error)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG picture"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "a WAV sound"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "a WebP picture"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "an MP4, MOV, M4A or HEIC file"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\1\0", "a WebM or MKV video"),
    ],
)
def test_a_picture_sound_or_video_in_place_of_a_manifest_is_called_what_it_is(data: bytes, kind: str) -> None:
    error = one(data)
    assert isinstance(error, JobError)
    assert (error.code, error.message) == ("manifest-not-text", f"The manifest is {kind}, not plain text.")
    assert "Notepad" not in error.hint
    assert "hello.yaml" in error.hint


def test_a_large_picture_is_called_no_text_and_not_too_long(tmp_path: Path) -> None:
    (tmp_path / "anna.yaml").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
    with pytest.raises(JobError) as raised:
        read_manifest(tmp_path, "anna.yaml", 1000)
    assert raised.value.code == "manifest-not-text"


def test_documents_are_jobs_and_a_wrong_one_does_not_spoil_the_others() -> None:
    results = parse_manifest(b"text: a\nimage: p.png\n---\ntext: b\nimgae: p.png\n---\ntext: c\nimage: p.png\n")
    assert [isinstance(r, Manifest) for r in results] == [True, False, True]
    assert "Did you mean `image`?" in str(results[1])


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(alphabet=st.sampled_from("text:image&*!|>-[]{}#?%@`'\",\n\t é\u2028"), max_size=200).map(str.encode),
    )
)
def test_no_bytes_can_do_more_than_be_refused(data: bytes) -> None:
    # When any bytes are read / Then the answer is jobs or a JobError, never another exception
    with contextlib.suppress(JobError):
        parse_manifest(data)


@pytest.mark.parametrize(
    ("written", "says", "advice"),
    [
        ("text: a\n\timage: a.png", "indented with a tab", "Indent with blanks"),
        (
            'image: "C:\\Users\\me\\a.png"\ntext: a',
            "In double quotes",
            "Put a.png next to the manifest, and write image: a.png",
        ),
        ('image: "pictures\\new.png"\ntext: a', "is a line end", "Write `image: pictures/new.png`."),
        ("text:Hello\nimage: a.png", "no blank after `text:` (line 1", "text: Hello"),
        ("text:Hello", "no blank after `text:`", "text: Hello"),
        ("text: [pause] Hello\nimage: a.png", "begins with [", 'text: "[pause] Hello"'),
        ("image: a.png\ntext: *Hello* world", "begins with *", 'text: "*Hello* world"'),
        ("text: @you\nimage: a.png", "begins with @", 'text: "@you"'),
        ("text: > Hello\nimage: a.png", "After > the text begins", "Write text: Hello"),
        ('text: "Hello" she said\nimage: a.png', "begins with a double quote", "text: '\"Hello\" she said'"),
        ("text: 'Don't'\nimage: a.png", "begins with a single quote", "text: \"'Don't'\""),
        ("text:\u00a0Hello\nimage: a.png", "no-break space", "space bar"),
        ("text：Hello\nimage: a.png", "which is no colon", "text: Hello"),
        ("text: Note: this\nimage: a.png", "takes for another key (line 1", 'text: "Note: this"'),
        ("  text: a\n image: b.png", "indented by 1 and", "same column"),
        ("text: !wow\nimage: a.png", "tag !wow", "in quotes"),
        ("text: |\nHello\nimage: a.png", "lines of `text: |` are not indented (line 2)", "two blanks:   Hello"),
        ("text = Hello\nimage = a.png", "followed by =, which is no colon", "text: Hello"),
    ],
)
def test_what_people_mistype_in_yaml_is_recognised_with_the_right_line(written: str, says: str, advice: str) -> None:
    error = one(written)
    assert isinstance(error, JobError)
    assert says in error.message
    assert advice in error.hint


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("image: C:\\Users\\me\\a.png", "Put a.png next to the manifest, and write `image: a.png`."),
        ("image: /home/me/a.png", "write `image: a.png`."),
        ("image: https://example.com/a.png", "Nothing is fetched from the web"),
        ("image: [a.png, b.png]", "`image` must be one value, not a list"),
        ("image: a.png\nvoice: [emma]", "`voice` must be one value, not a list"),
        ("image: a.png\nspeed: 1,2", "Write `speed: 1.2`."),
        ("image: a.png\nspeed: 90 %", "Write `speed: 0.9`."),
        ("image: a.png\nmotion: {head: '0,5'}", "Write `head: 0.5`."),
        ("image: a.png\nsize: 1080p", "Write `size: 1920x1080`, or `size: 1080x1920`"),
        ("image: a.png\ncaptions: yes", "Write `captions: srt`"),
        ("image: a.png\nmotion: none", "`motion` must have keys of its own, indented below it"),
        ("image: a.png\nexpressions: smile", "`expressions` must be a list"),
    ],
)
def test_what_people_mistype_in_a_value_is_answered_with_what_to_write(written: str, advice: str) -> None:
    error = one(f"text: a\n{written}")
    assert isinstance(error, JobError)
    assert advice in str(error)


def test_the_quotes_of_a_word_processor_are_no_part_of_a_files_name() -> None:
    job = good("text: “Hello” and «bye»\nimage: “a.png”\nbackground: „b.jpg“")
    assert (job.text, job.image, job.background) == ("“Hello” and «bye»", "a.png", "b.jpg")


def test_a_document_that_is_no_yaml_fails_alone_with_its_own_line() -> None:
    results = parse_manifest(b"text: a\nimage: p.png\n---\ntext: [x] b\n---\ntext: c\nimage: p.png\n")
    assert [isinstance(result, Manifest) for result in results] == [True, False, True]
    assert "(line 4" in str(results[1])


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("text: We are #1 in town!\nimage: p.png", "“#1 in town!”"),
        ("text: a\nimage: p.png\nbackground: #1a2b3c", 'Write background: "#1a2b3c"'),
        ("kind: speech\ntext: a\ncaptions: srt", "`captions: srt` is not used"),
        ("audio: a.wav\nimage: p.png\nvoice: adam", "`voice: adam` is not used"),
        ("text: a\nimage: p.png\noutput: video.mov", "the result is video.mp4"),
    ],
)
def test_what_does_nothing_is_told(written: str, says: str) -> None:
    assert [says in warning for warning in good(written).warnings] == [True]


def test_a_comment_is_no_lost_text() -> None:
    assert good("text: a  # spoken\nimage: p.png").warnings != ()  # nobody can tell it from a text
    assert good("text: |\n  We are #1\nimage: p.png  # the portrait\nsize:  # later").warnings == ()


def test_an_expression_falls_on_a_second_or_on_a_word_of_the_text() -> None:
    # Given a number without quotes, a word, and a number in quotes / Then only the first is a time
    job = good(
        "text: What a lovely 500!\nimage: p.png\nexpressions:\n- {at: 1.5, name: serious}\n"
        "- {at: lovely, name: smile, intensity: 0.5}\n- {at: '500', name: surprise}\n"
    )
    assert [(one.at, one.name, one.intensity) for one in job.expressions] == [
        (1.5, "serious", 1.0), ("lovely", "smile", 0.5), ("500", "surprise", 1.0),
    ]  # fmt: skip
    assert Manifest.model_validate(job.model_dump(mode="json")) == job


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{at: -1, name: smile}", "`expressions.0.at` must be 0 s or later, not “-1” (line 3, column 20)."),
        ("{at: inf, name: smile}", "`expressions.0.at` must be 0 s or later, not “inf” (line 3, column 20)."),
        ("{at: '?!', name: smile}", "must be seconds from the start, or a word of the text"),
        ("{at: horrid, name: smile}", "names the word “horrid”, which `text` does not contain"),
        ("{at: 1, name: grin}", "`expressions.0.name` must be 'neutral', 'smile', 'surprise' or 'serious', not “grin”"),
        ("{at: 1, name: smile, intensity: 2}", "`expressions.0.intensity` must be from 0 to 1, not “2”"),
        ("{name: smile}", "`expressions.0.at` is missing (line 3, column 15)."),
        ("{at: 1, name: smile, intensty: 1}", "`expressions.0.intensty` is not a known key"),
    ],
)
def test_a_wrong_expression_is_told_with_its_place(entry: str, told: str) -> None:
    error = one(f"text: What a lovely day.\nimage: p.png\nexpressions: [{entry}]\n")
    assert isinstance(error, JobError)
    assert told in error.message


def test_a_key_by_another_name_is_not_missing_as_well() -> None:
    error = one("text: Good day.\nimage: p.png\nexpressions: [{when: 3, nme: smile}]\n")
    assert isinstance(error, JobError)
    assert "`expressions.0.nme` is not a known key" in error.hint
    assert "is missing" not in error.hint
    # But what nothing stands for is
    error = one("text: Good day.\nimage: p.png\nexpressions: [{nme: smile}]\n")
    assert isinstance(error, JobError)
    assert "`expressions.0.at` is missing" in error.hint


def test_characters_that_nobody_sees_are_left_out_of_keys_and_named_elsewhere() -> None:
    # Given keys as they come from a web page / Then they are read, and it is said
    job = good("\u200bkind: speech\ntext\ufeff: Hello.\n")
    assert (job.kind, job.text) == ("speech", "Hello.")
    (warning,) = job.warnings
    assert warning == "Characters that cannot be seen were left out beside `kind`, `text`; delete them in the manifest."
    # And a control character, which no YAML may hold, is named with its place
    for character in "\x0b", "\x9f":
        with pytest.raises(JobError, match=rf"line 3, column 8 \(U\+{ord(character):04X}\)") as error:
            raise_first(f"kind: speech\nlanguage: en\ntext: a{character}b\n")
        assert "Delete it there" in error.value.hint


def raise_first(text: str) -> None:
    (found,) = parse_manifest(text.encode())
    if isinstance(found, JobError):
        raise found


@pytest.mark.parametrize("key", ["face", "speed", "priority", "size", "duration"])
def test_a_number_of_thousands_of_digits_is_explained_as_any_wrong_value(key: str) -> None:
    found = one(f"image: p.png\ntext: Hi.\n{key}: '{'9' * 5000}'\n")
    assert isinstance(found, JobError)
    assert f"`{key}` must be" in found.message
    assert "integer string" not in found.message


#: Manifests of 256 KiB, the largest that are read, that took from seconds to hours.
LONG = 2**18
SLOW = {
    "lines that are no keys": "ab: v\n" * (LONG // 6) + "a: [\n",
    "a quote without end": 'text: "' + "hello 'there'\n" * (LONG // 14),
    "blanks before a mistake": " " * LONG + "a: [\n",
    "jobs that are no YAML": "a: [\n---\n" * (LONG // 9),
    "jobs behind empty lines": "\n" * (LONG // 2) + "text: a\n---\n" * 999,
    "objects of JSON": '{"a": 1},\n' * (LONG // 10),
    "documents without a job": "---\n" * (LONG // 4),
    "a file name of words": f"text: Hello.\nimage: {'a ' * (LONG // 2)}\n",
    "a file name of brackets": f"text: Hello.\nimage: '{'[' * LONG}'\n",
}


@pytest.mark.parametrize("name", SLOW)
def test_the_largest_manifest_is_refused_in_seconds(name: str) -> None:
    began = time.process_time()
    with contextlib.suppress(JobError):
        assert isinstance(parse_manifest(SLOW[name].encode(), 1000)[0], JobError | Manifest)
    assert time.process_time() - began < 5


def test_documents_are_counted_before_they_are_read() -> None:
    text = "text: Hello.\n---\n# nothing\n---\n" * 3 + "text: Hello.\n...\n---\n"
    assert len(parse_manifest(text.encode(), 4)) == 4
    with pytest.raises(JobError, match="holds 4 documents; 3 are allowed"):
        parse_manifest(text.encode(), 3)
