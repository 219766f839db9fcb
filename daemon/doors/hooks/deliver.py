"""Makes one attempt at a delivery, and decides what follows from it."""

from __future__ import annotations

import http.client
import random
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Final

import structlog

from daemon import __version__
from daemon.config.hooks import Hook, Hooks, callback_fault, url_fault
from daemon.doors.hooks.addresses import RefusedAddressError
from daemon.doors.hooks.command import run_command
from daemon.doors.hooks.message import NOTIFY
from daemon.doors.hooks.signature import read_keys, read_secret_lines, sign
from daemon.doors.hooks.store import Delivery
from daemon.doors.hooks.web import post
from daemon.errors import ConfigError, escape_unprintable

log = structlog.get_logger("hooks")

#: Seconds after a failed attempt until the next one; after the last of them, in all about three and a half days, it is given up.
DELAYS_S: Final = (5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: Part of a delay that is added at most, at random: receivers that come back are not met by all at once.
JITTER: Final = 0.2
#: Longest wait that a receiver may ask for.
_MOST_WAIT_S: Final = 86_400.0
_NOTE_CHARS: Final = 300
#: How the note on a message to a host begins that the configuration does not allow.
NOT_ALLOWED: Final = "Not allowed"
_RELOAD: Final = "Where it does by now, reload the hooks: `systemctl reload avatard-hooks`."


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt went.

    Attributes:
        note: a sentence.
        final: whether another attempt would be in vain.
        wait_s: what the receiver asks to wait, s.
        output: what the program printed, or the receiver answered.
    """

    delivered: bool
    note: str
    final: bool = False
    wait_s: float = 0.0
    output: str = ""


def next_attempt(outcome: Outcome, attempts: int, now: float) -> float | None:
    """Return when the next attempt is made, seconds since the epoch; None where it is given up.

    Args:
        attempts: made so far, with this one.
    """
    if outcome.final or attempts > len(DELAYS_S):
        return None
    delay = max(float(DELAYS_S[attempts - 1]), min(outcome.wait_s, _MOST_WAIT_S))
    return now + delay * (1 + JITTER * random.random())


def deliver(delivery: Delivery, hooks: Hooks) -> Outcome:
    """Make one attempt. Nothing is raised: whatever goes wrong is the outcome."""
    try:
        if delivery.url:
            return _call_back(delivery, hooks)
        hook = next((one for one in hooks.targets if one.name == delivery.hook), None)
        if hook is None:
            return Outcome(False, "There is no hook of this name any more.", final=True)
        return _start(delivery, hook) if hook.command else _send(delivery, hook, hooks.proxy)
    except ConfigError as exc:
        return Outcome(False, str(exc))
    except RefusedAddressError as exc:
        # Not for good: a resolver may be wrong for a while, and `allow` may be set after the first message.
        return Outcome(False, f"{exc}; it is allowed by `allow` alone (docs/hooks.md).")
    except ssl.SSLCertVerificationError as exc:
        return Outcome(False, f"The certificate is not accepted: {exc.verify_message}.")
    except TimeoutError:
        return Outcome(False, "No answer came in time.")
    except socket.gaierror as exc:  # the host is not named: that of a `url_file` is nobody else's
        return Outcome(False, f"The address of the host cannot be looked up: {_short(exc.strerror or str(exc))}.")
    except (OSError, http.client.HTTPException) as exc:
        why = (exc.strerror if isinstance(exc, OSError) else "") or str(exc) or type(exc).__name__
        return Outcome(False, f"It did not work: {_short(why)}.")
    except Exception as exc:  # a fault of ours, too, is an attempt: else it would be made each minute for ever
        log.exception("attempt failed", delivery=delivery.id, hook=delivery.hook)
        return Outcome(False, f"It did not work: {type(exc).__name__}: {_short(str(exc))}.")


def _start(delivery: Delivery, hook: Hook) -> Outcome:
    environment = {
        "AVATAR_ID": delivery.id,
        "AVATAR_TYPE": delivery.type,
        "AVATAR_JOB": delivery.job or "",
        "AVATAR_NAME": delivery.name,
        "AVATAR_STATE": delivery.job_state,
        "AVATAR_OUTPUT": delivery.output,
    }
    ended = run_command(hook.command, delivery.body, environment, hook.timeout_s)
    output = ended.output + (" … (more was left out)" if ended.cut else "")
    if ended.code == 0:
        return Outcome(True, "The program ended with 0.", output=output)
    told = f" It printed: {_short(ended.output)}" if ended.output.strip() else ""
    if ended.code is None:
        return Outcome(False, f"The program was killed after {hook.timeout_s:g} s.{told}", output=output)
    how = f"with {ended.code}" if ended.code > 0 else f"by signal {-ended.code}"
    return Outcome(False, f"The program ended {how}.{told}", output=output)


def _send(delivery: Delivery, hook: Hook, proxy: str) -> Outcome:
    url = hook.url
    if hook.url_file is not None:
        url = read_secret_lines(hook.url_file)[0]
        if fault := url_fault(url):
            raise ConfigError(
                "hook-secret", f"The address in {hook.url_file} {fault}.", "Write the address alone into it: https://…"
            )
    headers = {**hook.headers, "Content-Type": hook.content_type}
    if hook.token_file is not None:
        headers["Authorization"] = f"Bearer {_token(hook)}"
    keys = read_keys(hook.secret_file) if hook.secret_file is not None else []
    return _post(delivery, url, headers, keys, hook.allow, hook.timeout_s, proxy)


def _token(hook: Hook) -> str:
    assert hook.token_file is not None
    token = read_secret_lines(hook.token_file)[0]
    if not (token.isascii() and token.isprintable()):
        raise ConfigError(
            "hook-secret",
            f"{hook.token_file} holds no token of ASCII letters.",
            "Write the token alone into its first line.",
        )
    return token


def _call_back(delivery: Delivery, hooks: Hooks) -> Outcome:
    """Send a message to where the job itself wants it, as far as the configuration still allows that."""
    callback = hooks.callbacks.get(delivery.hook.removeprefix(NOTIFY))
    if fault := callback_fault(delivery.url, hooks):
        # Not for good: the host may be new, and the hooks have not read the configuration since.
        return Outcome(False, f"{NOT_ALLOWED}: `notify` {fault}. {_RELOAD}")
    assert callback is not None
    keys = read_keys(callback.secret_file) if callback.secret_file is not None else []
    return _post(delivery, delivery.url, {"Content-Type": "application/json"}, keys, callback.allow, 10.0, hooks.proxy)


def _post(
    delivery: Delivery,
    url: str,
    headers: dict[str, str],
    keys: list[bytes],
    allow: list[str],
    timeout_s: float,
    proxy: str,
) -> Outcome:
    timestamp = int(time.time())
    headers = {
        "User-Agent": f"avatard/{__version__}",
        **headers,
        "webhook-id": delivery.id,
        "webhook-timestamp": str(timestamp),
    }
    if keys:
        headers["webhook-signature"] = sign(keys, delivery.id, timestamp, delivery.body)
    answer = post(url, headers, delivery.body, allow=allow, timeout_s=timeout_s, proxy=proxy)
    if 200 <= answer.status < 300:
        return Outcome(True, f"The answer was {answer.status}.", output=answer.text)
    note = f"The answer was {answer.status}"
    if 300 <= answer.status < 400:
        note += ", a redirect, which is not followed: name the new address"
    elif answer.status == 410:
        note += ", so it is not wanted any more"
    elif answer.text.strip():
        note += f": {_short(answer.text)}"
    return Outcome(False, f"{note}.", answer.status == 410, answer.retry_after_s, answer.text)


def _short(text: str) -> str:
    """Return the beginning of what others wrote, in one line."""
    line = escape_unprintable(" ".join(text.split()))
    return (line if len(line) <= _NOTE_CHARS else f"{line[:_NOTE_CHARS]}…").rstrip(".")
