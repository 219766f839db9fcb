"""Describes every key of a status file: what docs/status.md says of it. A test compares this table with what is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class StatusField:
    """One key.

    Attributes:
        name: of the key; "error.code" is a key below `error`, "outputs[].file" one of each entry of a list.
        value: its type, in words.
        when: when the key is there; empty: always.
        meaning: a sentence or two, with the unit.
    """

    name: str
    value: str
    when: str
    meaning: str


_TIME = "time or `null`"
_RETRIED = "only stages that were tried more than once"

STATUS_FIELDS: Final[tuple[StatusField, ...]] = (
    StatusField("schema", "whole number", "", "Version of this format: 1. New keys may come without a new version."),
    StatusField("job", "text", "", "Id of the job, such as `job-20260102T030405Z-0a1b2c3d`."),
    StatusField(
        "name",
        "text",
        "",
        "Path of the results and of this file below the outbox, without ending: `hello`, `anna/hello`.",
    ),
    StatusField(
        "state",
        "text",
        "",
        "`waiting`, `queued`, `running`, `held`, `done`, `failed` or `cancelled`; see below.",
    ),
    StatusField(
        "stage",
        "text or `null`",
        "",
        "The stage in which the job waits, runs or ended. `null`: it was not accepted, or it is a batch whose rows run.",
    ),
    StatusField(
        "progress",
        "number from 0 to 1",
        "",
        "Finished part of the whole job, by estimated time; 1 only when it is done.",
    ),
    StatusField(
        "eta_s",
        "number or `null`",
        "",
        "Estimated seconds from `updated` until it is done. Of a queued job, the work before it in "
        "all its queues is counted, too. `null` unless queued or running, and of a batch whose table is not checked, or that is "
        "held.",
    ),
    StatusField(
        "queue_position",
        "whole number or `null`",
        "",
        "Place in the queue of its stage; 1 is next. Set only while it is queued. The first 20 of each "
        "queue are brought up to date every five seconds, the others one after the other.",
    ),
    StatusField("source", "text", "", "Path of the manifest below the inbox, as it was dropped."),
    StatusField("document", "whole number", "", "Which document of the manifest file, from 0."),
    StatusField(
        "by",
        "text or `null`",
        "",
        "Who handed it in: the owner of the manifest file, or for whom the HTTP door did; see [Who did it](#who-did-it). "
        "`null`: it is not known.",
    ),
    StatusField("accepted", _TIME, "", "When the job was taken in; while it waits, when the manifest was found."),
    StatusField(
        "updated",
        "time",
        "",
        "When this file was written. A running job's file is written at most once a second.",
    ),
    StatusField("finished", _TIME, "", "When it ended: done, failed or cancelled."),
    StatusField("next", "text", "", "What happens next, or what to do; a sentence for people."),
    StatusField(
        "waiting_for",
        "list of texts",
        "state `waiting`",
        "Files that are not there yet, at most ten, or why the manifest cannot be taken in.",
    ),
    StatusField("error", "keys below", "states `failed` and `cancelled`", "Why it ended."),
    StatusField("error.code", "text", "with `error`", "Stable code: [errors.md](errors.md)."),
    StatusField("error.message", "text", "with `error`", "What is wrong; sentences for people."),
    StatusField("error.hint", "text", "with `error`", "What to do; may be empty."),
    StatusField("error.fault", "text", "with `error`", "Whose fault it is: `job`, `machine` or `unknown`."),
    StatusField(
        "error.stage",
        "text or `null`",
        "with `error`",
        "The stage that failed; `intake`: it was refused when it was taken in; `null`: it is not known.",
    ),
    StatusField(
        "held",
        "keys below",
        "held, or about to be",
        "A hold that somebody ordered. Beside `running`: the job is held after its present stage.",
    ),
    StatusField("held.by", "text", "with `held`", "Who ordered it: see [Who did it](#who-did-it)."),
    StatusField("held.reason", "text", "with `held`", "Why, as they wrote it; may be empty."),
    StatusField("held.since", "time", "with `held`", "When it was ordered."),
    StatusField(
        "warnings",
        "list of texts",
        "if there are any",
        "What was written in the manifest and does nothing, and what may spoil the result. Sentences for people.",
    ),
    StatusField("outputs", "list of keys below", "state `done`", "The results; the main one comes last."),
    StatusField("outputs[].file", "text", "with `outputs`", "Path below the outbox."),
    StatusField("outputs[].bytes", "whole number", "with `outputs`", "Size in bytes."),
    StatusField("outputs[].sha256", "text", "with `outputs`", "Hexadecimal digest of the content."),
    StatusField(
        "stages",
        "keys by stage",
        "from the first finished stage on",
        "What each finished stage found: see below. Readers must expect more keys, and missing ones.",
    ),
    StatusField(
        "timings",
        "keys by stage",
        "from the first started stage on",
        "How long the job waited and ran, in seconds, over all attempts.",
    ),
    StatusField("timings.STAGE.wait", "number", "with `timings`", "Seconds in the queue of this stage."),
    StatusField("timings.STAGE.run", "number", "with `timings`", "Seconds of work in this stage."),
    StatusField("attempts", "whole number by stage", _RETRIED, "Number of starts of a stage."),
    StatusField(
        "defaults",
        "list of texts",
        "if a folder's `_defaults.yaml` was applied",
        "Paths of these files below the inbox, the nearest to the manifest last.",
    ),
    StatusField(
        "base",
        "text",
        "if the manifest names an earlier job",
        "Id of that job, whose values, files and seeds were taken ([again.md](again.md)).",
    ),
    StatusField(
        "batch",
        "keys below",
        "of `kind: batch`, once its rows are checked",
        "How far it has come ([batches.md](batches.md)).",
    ),
    StatusField("batch.rows", "whole number", "with `batch`", "Rows that are made."),
    StatusField("batch.taken", "whole number", "with `batch`", "Rows whose jobs have been made."),
    StatusField("batch.done", "whole number", "with `batch`", "Rows that are done."),
    StatusField("batch.failed", "whole number", "with `batch`", "Rows that failed."),
    StatusField("batch.cancelled", "whole number", "with `batch`", "Rows that were cancelled."),
    StatusField("batch.held", "whole number", "with `batch`", "Rows that are held, of those that have not ended."),
    StatusField("batch.left", "whole number", "with `batch`", "Rows that have not ended."),
    StatusField(
        "batch.report",
        "text or `null`",
        "with `batch`",
        "Path of the report below the outbox; `null` until there is one.",
    ),
    StatusField("row", "keys below", "of the job of a row", "The batch that it belongs to."),
    StatusField("row.batch", "text", "with `row`", "Name of the batch."),
    StatusField("row.number", "whole number", "with `row`", "Number of the row, from 1."),
    StatusField(
        "metadata",
        "keys and values",
        "if the manifest has it",
        "`metadata` of the manifest, untouched; a whole number of more than 16 digits is a text, as programs would round it.",
    ),
    StatusField("kind", "text", "if the manifest could be read", "Kind of the job, such as `video` or `speech`."),
    StatusField(
        "text",
        "text",
        "once it has ended, if the manifest has a text",
        "The first 2,000 characters of the text, by which the job is found when its record is gone.",
    ),
)
