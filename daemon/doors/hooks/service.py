"""Runs the hooks: looks for jobs that have ended, and delivers what is due, until it is told to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from daemon.config import Settings
from daemon.config.hooks import callback_fault
from daemon.doors.hooks.deliver import NOT_ALLOWED, Outcome, deliver, next_attempt
from daemon.doors.hooks.ended_jobs import EndedJobs
from daemon.doors.hooks.message import NOTIFY
from daemon.doors.hooks.metrics import MetricsFile
from daemon.doors.hooks.run_lock import alone
from daemon.doors.hooks.store import Delivery, State, Store
from daemon.doors.hooks.trouble import unknown_kinds
from daemon.errors import AvatarError, ConfigError, escape_unprintable
from daemon.system.permissions import make_folder

log = structlog.get_logger("hooks")

#: How long deliveries that run may go on after the signal to stop, in s; they are made again at the next start.
DRAIN_S: Final = 10.0
#: How long nothing is done with a delivery whose attempt ended by a fault of ours, in s.
_REST_S: Final = 60.0
#: How often what is over is forgotten, in s.
_TIDY_S: Final = 3600.0
_DAY_S: Final = 86_400.0


class HookService:
    """The process behind `avatar hooks run`.

    Args:
        load: reads the configuration, at the start and at each SIGHUP.
    """

    def __init__(self, load: Callable[[], Settings]) -> None:
        self._load = load
        self._settings = load()
        self._store = Store(self._settings.paths.hooks)
        self._wake = threading.Event()
        self._stopping = self._reload = False
        self._lock = threading.Lock()
        #: Deliveries that run or are not noted yet, and their hooks.
        self._busy: dict[int, str] = {}
        #: Attempts that were made and could not be noted. They are not made again, and no others are begun before they are noted.
        self._unnoted: list[tuple[Delivery, Outcome]] = []
        self._resting: dict[int, float] = {}
        #: Hooks whose last attempt did not get through.
        self._failing: set[str] = set()
        self._fault: dict[str, str] = {}
        self._figures = MetricsFile(self._store)
        #: The settings by which messages were begun anew whose host was not allowed before.
        self._allowed_by: Settings | None = None

    def stop(self) -> None:
        """End `run` soon. May be called in a signal handler."""
        self._stopping = True
        self._wake.set()

    def read_again(self) -> None:
        """Read the configuration again soon. May be called in a signal handler."""
        self._reload = True
        self._wake.set()

    def run(self) -> None:
        """Work until `stop`.

        Raises:
            AvatarError: `hooks-running`, `hooks-unavailable`.
        """
        folder = self._settings.paths.hooks
        make_folder(folder)
        with alone(folder):
            self._store.create(time.time())
            ended, tidied = EndedJobs(self._settings, self._store), time.monotonic()
            log.info("hooks run", hooks=[hook.name for hook in self._settings.hooks.targets])
            _warn_of_kinds(self._settings)
            while not self._stopping:
                self._wake.clear()
                if self._reload:
                    ended.settings = self._read_again()
                self._try("allow", self._begin_allowed)
                self._try("look", lambda: self._look(ended))
                if time.monotonic() - tidied > _TIDY_S:
                    tidied = time.monotonic()
                    self._try("forget", ended.forget_gone)
                    self._try("clear", lambda: self._store.clear(time.time() - self._settings.hooks.keep_days * _DAY_S))
                self._try("deliver", self._begin_due)
                self._try("figures", lambda: self._figures.write(self._settings.hooks.textfile))
                self._wake.wait(self._settings.hooks.scan_s)
            self._drain()
            log.info("hooks end")

    def _look(self, ended: EndedJobs) -> None:
        if ended.look():
            self._wake.set()  # there is more, which need not wait

    def _try(self, what: str, work: Callable[[], object]) -> None:
        """Do something that is tried again in a moment. What goes wrong is logged once, until it is something else."""
        try:
            work()
        except (OSError, AvatarError) as exc:
            if str(exc) != self._fault.get(what):
                self._fault[what] = str(exc)
                log.warning("hooks stand still", at=what, error=str(exc))
        else:
            self._fault.pop(what, None)

    def _read_again(self) -> Settings:
        self._reload = False
        try:
            settings = self._load()
        except ConfigError as exc:
            log.error("configuration not read again", error=str(exc))
            return self._settings
        # The folders stay: they are open.
        self._settings = settings.model_copy(update={"paths": self._settings.paths})
        log.info("configuration read again", hooks=[hook.name for hook in settings.hooks.targets])
        _warn_of_kinds(settings)
        return self._settings

    def _begin_allowed(self) -> None:
        """Begin the messages anew whose host was not allowed, and is by settings that were just read."""
        settings = self._settings
        if settings is self._allowed_by:
            return
        found = [
            one.number
            for host in settings.hooks.callbacks
            for one in self._store.find(state="waiting", hook=f"{NOTIFY}{host}", limit=-1)
            if one.note.startswith(NOT_ALLOWED) and not callback_fault(one.url, settings.hooks)
        ]
        if found:
            self._store.retry(found, time.time())
            log.info("hosts allowed by now", deliveries=len(found))
        self._allowed_by = settings

    def _begin_due(self) -> None:
        """Start what is due, as far as there is room: a hook that is slow must not take the room of the others, nor several that
        get nothing through all of it.
        """
        most = self._settings.hooks.concurrency
        for_one = max(1, most // 2)
        while not self._stopping:
            self._note_made()
            now = time.monotonic()
            with self._lock:
                self._resting = {number: until for number, until in self._resting.items() if until > now}
                busy = dict(self._busy)
                resting, failing = list(self._resting), set(self._failing)
            if len(busy) >= most:
                return
            hooks = list(busy.values())
            full = {hook for hook in hooks if hooks.count(hook) >= for_one}
            if len(busy) == most - 1 > 0:
                full |= failing
            found = self._store.due(time.time(), 1, [*busy, *resting], full)
            if not found:
                return
            with self._lock:
                self._busy[found[0].number] = found[0].hook
            # A thread each: a program that a hook starts ends with the thread that started it.
            threading.Thread(target=self._deliver, args=found, name="hook", daemon=True).start()

    def _note_made(self) -> None:
        """Note the attempts that could not be noted when they were made.

        Raises:
            AvatarError: `hooks-unavailable`: they cannot be noted now either.
        """
        while self._unnoted:
            delivery, outcome = self._unnoted[0]
            note_outcome(self._store, delivery, outcome)
            with self._lock:
                del self._unnoted[0], self._busy[delivery.number]

    def _deliver(self, delivery: Delivery) -> None:
        is_over = True
        try:
            outcome = deliver(delivery, self._settings.hooks)
            with self._lock:
                (self._failing.discard if outcome.delivered else self._failing.add)(delivery.hook)
            is_over = self._noted(delivery, outcome)
        except Exception as exc:  # whatever it is, it concerns this delivery alone, which is made again
            log.warning("attempt failed", delivery=delivery.id, hook=delivery.hook, error=str(exc))
            with self._lock:
                self._resting[delivery.number] = time.monotonic() + _REST_S
        if is_over:
            with self._lock:
                del self._busy[delivery.number]
        self._wake.set()

    def _noted(self, delivery: Delivery, outcome: Outcome) -> bool:
        """Note an attempt; returns whether that worked, else it is noted later."""
        try:
            note_outcome(self._store, delivery, outcome)
        except AvatarError as exc:
            log.warning("attempt not noted", delivery=delivery.id, hook=delivery.hook, error=str(exc))
            with self._lock:
                self._unnoted.append((delivery, outcome))
            return False
        return True

    def _drain(self) -> None:
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline:
            self._wake.clear()
            self._try("deliver", self._note_made)
            with self._lock:
                if not self._busy:
                    return
            self._wake.wait(0.5)


def _warn_of_kinds(settings: Settings) -> None:
    for trouble in unknown_kinds(settings.hooks):
        log.warning(trouble.message, hook=trouble.hook, hint=trouble.hint)


def note_outcome(store: Store, delivery: Delivery, outcome: Outcome) -> None:
    """Note how an attempt went, log it, and say when the next one is made.

    Raises:
        AvatarError: `hooks-unavailable`.
    """
    now = time.time()
    due = None if outcome.delivered else next_attempt(outcome, delivery.attempts + 1, now)
    state: State = "delivered" if outcome.delivered else "dead" if due is None else "waiting"
    store.note_attempt(delivery.number, state, due or now, outcome.note, now)
    tell = log.info if outcome.delivered else log.warning
    tell(
        {"delivered": "delivered", "waiting": "not delivered, is tried again", "dead": "not delivered, given up"}[
            state
        ],
        delivery=delivery.id,
        hook=delivery.hook,
        attempt=delivery.attempts + 1,
        note=outcome.note,
        # Of what failed the note has the beginning.
        **({"output": escape_unprintable(outcome.output)} if outcome.delivered and outcome.output.strip() else {}),
    )


def run_until_signal(load: Callable[[], Settings]) -> None:
    """Run the hooks until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    Raises:
        AvatarError: as `HookService.run`; `ConfigError` where the configuration is wrong.
    """
    service = HookService(load)
    signal.signal(signal.SIGTERM, lambda *_: service.stop())
    signal.signal(signal.SIGINT, lambda *_: service.stop())
    signal.signal(signal.SIGHUP, lambda *_: service.read_again())
    service.run()
