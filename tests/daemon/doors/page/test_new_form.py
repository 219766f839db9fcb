"""The form for a new job leads to the field that is wrong, makes a batch of a table only when all its rows are right, and says
what may be said of movement.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor, wait
from html import unescape
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from daemon.doors.keys import opened_key
from daemon.doors.page.new.form import NewForm
from daemon.doors.page.new.movement import movement_of
from daemon.outbox import looks
from tests.daemon.doors.http.conftest import Door
from tests.daemon.doors.page.test_pages import PICTURE, fields_of, post_form, signed_in
from tests.support.http_door import Answer

PEOPLE = b"name,place\nAnna,Bern\nBen,Ulm\n"


def send(door: Door, do: bytes = b"make", **fields: bytes) -> Answer:
    """Send the form; `rows` is the table `people.csv`."""
    parts = [(name, "people.csv" if name == "rows" else None, value) for name, value in fields.items()]
    return door.open.post_parts("/ui/", *parts, ("do", None, do))


def problem(answer: Answer) -> tuple[str, str]:
    """The field to which the summary of an error leads, and the sentence; that field is marked and says the same."""
    page = answer.body.decode()
    found = re.search(r'id="problem".*?<a href="#([\w-]+)">(.*?)</a>', page, re.DOTALL)
    assert found is not None, page
    field, sentence = found[1], found[2]
    assert re.search(rf'id="{field}"[^>]* aria-invalid="true" aria-describedby="{field}-wrong[ "]', page), field
    assert f'<p class="wrong" id="{field}-wrong">{sentence}</p>' in page
    assert len(re.findall('aria-invalid="true"', page)) == 1
    return field, unescape(re.sub("<[^>]+>", "", sentence))


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("aspect", {"text": b"Hello.", "avatar": b"Anna", "aspect": b"10:1"}),
        ("name", {"text": b"Hello.", "name": b"not/a name"}),
        ("expressions", {"text": b"Hello.", "avatar": b"Anna", "expressions": b"grin at hello"}),
        ("head", {"text": b"Hello.", "avatar": b"Anna", "head": b"7"}),
        ("text", {"text": b""}),
    ],
)
def test_the_summary_of_an_error_leads_to_its_field_which_says_the_same(
    door: Door, field: str, fields: dict[str, bytes]
) -> None:
    answer = send(door, **fields)
    assert answer.status == 422
    assert problem(answer)[0] == field
    assert "<title>Problem: New video" in answer.body.decode()
    assert ", column " not in answer.body.decode()
    assert "in the request" not in answer.body.decode()
    assert door.manifests == []


def test_a_button_without_its_file_leads_to_where_it_is_chosen(door: Door) -> None:
    assert problem(send(door, b"check", text=b"Hello.")) == ("image", "No picture was chosen.")
    assert problem(send(door, b"table", text=b"Hello.")) == ("rows", "No table was chosen.")


def test_a_table_is_shown_and_makes_a_batch_only_when_every_row_is_right(door: Door) -> None:
    # Given a table of which a row is wrong
    text = b"Hello {{name}} of {{place}}."
    looked = send(door, b"table", text=text, rows=b"name,place\nAnna,Bern\nBen,\n,Ulm\n")
    page = unescape(looked.body.decode())
    # Then the page says so of each, and shows what the others will be, and nothing is handed in
    assert looked.status == 200
    assert "2 of 3 rows are wrong." in page
    assert "Row 2 has nothing in the column “place”" in page
    assert "Row 3 has nothing in the column “name”" in page
    assert "<td>Hello Anna of Bern.</td>" in page
    refused = send(door, text=text, kept_rows=fields_of(looked.body.decode())["kept_rows"].encode())
    assert (refused.status, problem(refused)) == (422, ("rows", "2 of 3 rows are wrong, so nothing was made of any."))
    assert "Row 3 has nothing in the column “name”" in unescape(refused.body.decode())
    assert door.manifests == []
    # When it is mended / Then the batch is handed in, with the rows as sounds, as nothing names a portrait
    right = send(door, b"table", text=text, rows=PEOPLE)
    assert "2 rows: each becomes a sound." in right.body.decode()
    made = send(door, text=text, kept_rows=fields_of(right.body.decode())["kept_rows"].encode())
    assert made.status == 303, made.body
    (manifest,) = door.manifests
    batch = yaml.safe_load((door.inbox / manifest).read_text())
    assert batch["kind"] == "batch"
    assert batch["template"] == {"kind": "speech", "text": "Hello {{name}} of {{place}}."}
    assert (door.inbox / batch["rows"]).read_bytes() == PEOPLE
    # And its page is there at once, before the daemon has seen it
    place = made.headers["location"].removeprefix("./").partition("?")[0]
    assert place.startswith("batches/job-")
    assert door.open.get(f"/ui/{place}").status == 200


def test_a_file_that_the_server_has_can_be_left_out_again(door: Door) -> None:
    kept = fields_of(send(door, b"table", text=b"Hello {{name}}.", rows=PEOPLE).body.decode())["kept_rows"].encode()
    left_out = send(door, b"without-rows", text=b"Hello {{name}}.", kept_rows=kept)
    assert left_out.status == 200
    assert "kept_rows" not in fields_of(left_out.body.decode())
    assert "Hello {{name}}.</textarea>" in left_out.body.decode()


def test_columns_of_a_table_are_keys_where_the_text_has_no_place_for_them(door: Door) -> None:
    looked = send(door, b"table", rows=b"text,avatar\nHello.,Anna\nBye.,Ben\n", captions=b"srt")
    assert "2 rows: each becomes a video." in looked.body.decode()
    assert "<td>Anna</td>" in looked.body.decode()
    unknown = send(door, b"table", rows=PEOPLE)
    assert unknown.status == 422
    assert problem(unknown)[1].startswith("The column “name” of people.csv is no key of a manifest")
    workbook = send(door, b"table", rows=b"PK\x03\x04 and the rest of a workbook")
    assert problem(workbook)[0] == "rows"
    assert "Save as" in workbook.body.decode()


def test_all_rows_use_what_is_sent_beside_their_table_and_name_no_file_themselves(door: Door) -> None:
    # Given a portrait, a recording and a table / When it is looked at / Then each row will be a video
    sound = b"RIFF$\0\0\0WAVEfmt " + bytes(20)
    beside = (("image", "a.png", PICTURE), ("audio", "a.wav", sound), ("text", None, b"Hello {{name}}."))
    looked = door.open.post_parts("/ui/", *beside, ("rows", "people.csv", PEOPLE), ("do", None, b"table"))
    page = looked.body.decode()
    assert "2 rows: each becomes a video." in page
    # And what was sent is kept, and becomes that of all rows
    kept = {name: value.encode() for name, value in fields_of(page).items() if name.startswith("kept_")}
    made = send(door, text=b"Hello {{name}}.", **kept)
    assert made.status == 303, made.body
    assert door.manifests[0].startswith("people-")
    batch = yaml.safe_load((door.inbox / door.manifests[0]).read_text())
    assert {name: (door.inbox / batch["template"][name]).read_bytes() for name in ("image", "audio")} == {
        "image": PICTURE, "audio": sound,
    }  # fmt: skip
    assert "kind" not in batch["template"]
    # And a row that names a file is wrong, also beside a portrait for all
    own = door.open.post_parts(
        "/ui/", *beside[:1], ("rows", "a.csv", b"text,image\nHello.,b.png\n"), ("do", None, b"table")
    )
    assert "Row 1 names b.png" in unescape(own.body.decode())


def test_a_form_that_is_sent_twice_at_once_is_one_job_and_leads_there_both_times(door: Door) -> None:
    # Given somebody who hands in with the key of a form just now
    with ThreadPoolExecutor(4) as pool:
        with opened_key(door.inbox, "", "k" * 32):
            twice = [pool.submit(send, door, text=b"Twice.", key=b"k" * 32) for _ in range(2)]
            assert not wait(twice, 0.2).done
        answers = [one.result() for one in twice]
    assert [answer.status for answer in answers] == [303] * 2, answers
    assert len({answer.headers["location"].partition("?")[0] for answer in answers}) == 1
    assert len(door.manifests) == 1


def test_a_name_that_is_taken_costs_nothing_that_was_typed(door: Door) -> None:
    assert send(door, text=b"One.", name=b"mine").status == 303
    again = send(door, text=b"Another text.", name=b"mine")
    assert again.status == 409
    assert "Another text.</textarea>" in again.body.decode()


def test_movement_and_expressions_come_into_the_manifest_and_back_into_the_form(door: Door) -> None:
    answer = send(
        door, text=b"A lovely day.", avatar=b"Anna", head=b"0.5", expressiveness=b"1.4",
        expressions=b"smile at lovely\r\nserious 0.5 at 4,5",
    )  # fmt: skip
    assert answer.status == 303, answer.body
    (manifest,) = door.manifests
    made = yaml.safe_load((door.inbox / manifest).read_text())
    assert made["motion"] == {"head": 0.5, "expressiveness": 1.4}
    assert made["expressions"] == [{"at": "lovely", "name": "smile"}, {"at": 4.5, "name": "serious", "intensity": 0.5}]
    form = NewForm.again({"job": "job-1"}, made)
    assert form.more
    assert {**form.manifest(), "base": None} == {**made, "base": None}


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "at": st.floats(0, 1e5) | st.sampled_from(["lovely", "two words"]),
                "name": st.sampled_from(["smile", "neutral"]),
            },
            optional={"intensity": st.floats(0, 1)},
        ),
        max_size=4,
    )
)
def test_expressions_are_the_same_after_a_way_through_the_form(expressions: list[dict[str, Any]]) -> None:
    form = NewForm.again({"job": "job-1"}, {"expressions": expressions})
    found = movement_of(form.values, None).get("expressions", [])
    assert [{"intensity": 1.0, **one} for one in found] == [{"intensity": 1.0, **one} for one in expressions]


def test_a_job_that_is_made_again_shows_what_was_chosen_and_can_be_as_usual_again() -> None:
    # Given a job with what a manifest says that was read, defaults included
    said: dict[str, Any] = {
        "text": "Hello.",
        "voice": "default",
        "fit": "auto",
        "background": "#ffffff",
        "captions": "srt",
        "quality": "draft",
        "format": "mp4",
    }
    said |= {
        "motion": {"head": 0.5, "expressiveness": 1.0},
        "expressions": [{"at": 0.0, "name": "smile", "intensity": 1.0}],
    }
    before = NewForm.again({"job": "job-1"}, said)
    chosen = {name: value for name, value in before.values.items() if value and name not in ("key", "base")}
    assert chosen == {
        "text": "Hello.", "background": "colour", "background_colour": "#ffffff", "captions": "srt", "head": "0.5",
        "quality": "draft", "expressions": "smile at 0.0",
    }  # fmt: skip
    # When all of that is chosen to be as usual, then the manifest says so: what it left out would be as it was
    form = NewForm.again({"job": "job-1"}, {"text": "Hello."})
    assert form.manifest(before) == {
        "text": "Hello.", "base": "job-1", "background": "keep", "captions": "none", "quality": "medium",
        "motion": {"head": 1.0}, "expressions": [],
    }  # fmt: skip


def test_the_short_jobs_of_the_page_are_in_no_list_but_their_own(door: Door) -> None:
    # Given a voice that was heard, and a job
    assert send(door, b"hear", text=b"Hello, all of you.").status == 200
    assert send(door, text=b"Hello.", name=b"mine").status == 303
    (look,) = (name for name in door.manifests if name.startswith(looks.PREFIX))
    assert yaml.safe_load((door.inbox / look).read_text())["metadata"] == {"tags": [looks.TAG]}
    # Then the lists show the job alone, and the look's own list the look alone
    for tab in ("all", "waiting"):
        page = door.open.get(f"/ui/jobs?tab={tab}").body.decode()
        assert (">mine<" in page, looks.PREFIX in page) == (True, False), tab
    assert [one["name"] for one in door.open.get("/jobs").json["jobs"]] == ["mine"]


@pytest.mark.parametrize(
    ("button", "text"), [(b"hear", "One sentence here."), (b"hear-all", "One sentence here. And two.")]
)
def test_a_voice_is_heard_with_the_first_sentence_or_all_of_the_text(door: Door, button: bytes, text: str) -> None:
    assert send(door, button, text=b"One sentence here. And two.").status == 200
    (look,) = door.manifests
    assert yaml.safe_load((door.inbox / look).read_text())["text"] == text


def test_a_page_says_only_what_this_server_said_to_this_caller(door: Door) -> None:
    assert "Call 555" not in door.open.get("/ui/jobs?said=Call+555&seal=0123").body.decode()
    anna, ben = signed_in(door, door.key("anna").key), signed_in(door, door.key("ben").key)
    led = post_form(door.open, "/ui/jobs/do", {"op": "cancel"}, **anna).headers["location"]
    said = "No job is marked. Mark some at the left, and try again."
    assert said in door.open.get(f"/ui/{led.removeprefix('../')}", **anna).body.decode()
    # And neither to somebody else, nor with other words
    assert said not in door.open.get(f"/ui/{led.removeprefix('../')}", **ben).body.decode()
    changed = led.removeprefix("../").replace("No%20job", "Your%20job")
    assert changed != led
    assert "is marked. Mark" not in door.open.get(f"/ui/{changed}", **anna).body.decode()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("jobs?tab=x", "`tab` in the address of this page is 'x', and must be running, waiting, done, failed, all or checks."),
        ("jobs?after=x", "`after` in the address of this page is 'x', and must be a whole number."),
        ("jobs?after=-1", "`after` in the address of this page is '-1', and must be 0 or more."),
        ("batches?after=99999999999999999999", "must be 9223372036854775807 or less."),
        (f"jobs?q={'x' * 401}", "must be at most 400 characters long."),
        ("pictures/x/remove", "must be 'avatars' or 'voices'."),
    ],
)  # fmt: skip
def test_a_wrong_value_in_an_address_is_told_in_plain_words(door: Door, address: str, says: str) -> None:
    answer = door.open.get(f"/ui/{address}")
    text = unescape(answer.body.decode()).replace("<code>", "`").replace("</code>", "`")
    assert answer.status == 422
    assert says in text
