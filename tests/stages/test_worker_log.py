"""What is logged in a worker goes over the wire: bounded, by level, with its job."""

from __future__ import annotations

import json
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from daemon.errors import TEXT_CHARS
from stages.worker_log import LINES, WorkerLogHandler


@pytest.fixture
def sent() -> Iterator[tuple[WorkerLogHandler, list[dict[str, Any]]]]:
    """A worker's log, and the messages that it sends; afterwards this process logs as before."""
    root, hook = logging.getLogger(), threading.excepthook
    levels = {name: logging.getLogger(name).level for name in ("", "stages", "daemon")}
    messages: list[dict[str, Any]] = []
    log_handler = WorkerLogHandler(lambda message: messages.append(json.loads(message.to_line())))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # Of what other tests left open, found by a search for garbage meanwhile
        warnings.simplefilter("ignore", ResourceWarning)
        log_handler.install()
        yield log_handler, messages
        logging.captureWarnings(False)
    root.removeHandler(log_handler)
    threading.excepthook = hook
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_stage_that_logs_in_a_loop_is_cut_off_and_the_number_of_what_is_missing_told(
    sent: tuple[WorkerLogHandler, list[dict[str, Any]]],
) -> None:
    log_handler, messages = sent
    log_handler.set_level("info")
    log = logging.getLogger("stages.face")
    # Given a job whose stage logs in a loop / Then so many messages are sent, and how many more there were
    with log_handler.for_job("job-1", "face"):
        for number in range(LINES + 70):
            log.info("line %d", number)
    assert [message["text"] for message in messages[:-1]] == [f"stages.face: line {n}" for n in range(LINES)]
    assert "70 more messages" in messages[-1]["text"]
    assert {(message["job"], message["stage"]) for message in messages} == {("job-1", "face")}
    # And the next one can be heard again
    messages.clear()
    with log_handler.for_job("job-2", "tts"):
        log.info("a new job")
    log.info("between two jobs")
    assert [message.get("job") for message in messages] == ["job-2", None]


def test_levels_warnings_and_tracebacks_are_sent(sent: tuple[WorkerLogHandler, list[dict[str, Any]]]) -> None:
    log_handler, messages = sent
    log_handler.set_level("info")
    # Messages below the daemon's level, and what libraries say below a warning, are not sent
    for name in ("stages.tts", "library"):
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
            logging.getLogger(name).log(level, "said")
    assert [(message["text"], message["level"]) for message in messages] == [
        *(("stages.tts: said", level) for level in ("info", "warning", "error", "error")),
        *(("library: said", level) for level in ("warning", "error", "error")),
    ]
    messages.clear()
    # Warnings are, and the exceptions that end threads
    warnings.warn("an odd thing", stacklevel=1)
    thread = threading.Thread(target=lambda: int("seven"), name="counter")
    thread.start()
    thread.join()
    warned, ended = messages
    assert warned["level"] == "warning"
    assert "UserWarning: an odd thing" in warned["text"]
    assert ended["level"] == "error"
    assert "counter" in ended["text"]
    assert ended["text"].endswith("ValueError: invalid literal for int() with base 10: 'seven'")
    messages.clear()
    # A long text keeps its end
    logging.getLogger("library").error("%s the end", "x" * 1_000_000)
    assert len(messages[0]["text"]) < TEXT_CHARS + 100
    assert messages[0]["text"].endswith("the end")
