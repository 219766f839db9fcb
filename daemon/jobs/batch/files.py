"""Names the files in the folder of a batch's job."""

from __future__ import annotations

from typing import Final

#: The manifests of the rows, in the order in which jobs are made of them, as JSON Lines.
RESOLVED: Final = "rows.jsonl"
#: Where its files lie, and which were not there (`daemon.jobs.batch.rows.BatchInput`).
INPUT: Final = "batch.json"
#: What is wrong with rows.
ERRORS: Final = "errors.csv"
#: What became of the rows, as JSON Lines; the last line of a row holds.
OUTCOMES: Final = "outcomes.jsonl"
#: Of a batch that is made of a report: the rows that earlier batches have made (`daemon.jobs.batch.done_rows`), as JSON Lines.
DONE: Final = "done.jsonl"
#: Ids of the batches that were made of one table and its reports.
RELATED: Final = "batches.json"
