"""Defines the settings below `hooks:` of config.yaml: who is told when a job ends (docs/hooks.md)."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from daemon.config.message_template import fill, unknown_places
from daemon.config.section import Folder, Section
from daemon.errors import JobError

#: How a job can end.
Ending = Literal["done", "failed", "cancelled"]
#: Headers that the sender writes itself.
_OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "user-agent"}
    | {"webhook-id", "webhook-timestamp", "webhook-signature"}
)
_JSON: Final = "application/json"


def _check_networks(networks: list[str]) -> list[str]:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as exc:
            raise ValueError(f"{network} is no address or network, such as 127.0.0.1 or 10.1.2.0/24") from exc
    return networks


def url_fault(url: str) -> str:
    """Return why a text cannot be the address of a webhook, as the end of a sentence; empty if it can."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return "has characters that an address may not have; write them as %20 and the like"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        return f"is no address ({exc})"
    if parts.scheme not in ("http", "https") or not host:
        return "is no address that begins with https:// or http://"
    if parts.username is not None or parts.password is not None:
        return "has a user name or password; use `token_file` or `headers`"
    return ""


class Callback(Section):
    """A host that jobs may name in `notify`."""

    secret_file: Folder | None = Field(
        None, description="File of the secret (`whsec_…`) that these messages are signed with; unset: not signed."
    )
    allow: list[str] = Field(
        default_factory=list,
        description="Addresses or networks that it may lie in although they are private, such as 10.1.2.0/24.",
    )
    plain_http: bool = Field(False, description="Whether http:// is allowed, which anybody on the way can read.")

    @field_validator("allow")
    @classmethod
    def _networks(cls, allow: list[str]) -> list[str]:
        return _check_networks(allow)


class Hook(Section):
    """What happens at the end of jobs: a program is started, or a message is sent."""

    name: str = Field(description="Name of the hook: a-z, digits, - and _.")
    command: list[str] = Field(
        default_factory=list,
        description="Program and its arguments, started without a shell; it reads the message on stdin.",
    )
    url: str = Field("", description="In place of `command`: where the message is sent by POST.")
    url_file: Folder | None = Field(None, description="File that holds the URL, where it is a secret itself.")
    secret_file: Folder | None = Field(
        None, description="File of the secret (`whsec_…`) that messages are signed with; a second line is an older one."
    )
    token_file: Folder | None = Field(
        None, description="File of a token, which is sent as `Authorization: Bearer TOKEN`."
    )
    headers: dict[str, str] = Field(default_factory=dict, description="Other headers of the request.")
    body: str = Field(
        "",
        description="The message, with places such as {name} and {state}; empty: JSON with `type`, `timestamp` and `data`.",
    )
    content_type: str = Field(_JSON, description="Type of `body`; values in it are escaped for JSON, if it is JSON.")
    when: list[Ending] = Field(["done", "failed", "cancelled"], min_length=1, description="Ends that count.")
    kinds: list[str] = Field(default_factory=list, description="Only jobs of these kinds; empty: all.")
    by: list[str] = Field(default_factory=list, description="Only jobs that these people handed in; empty: all.")
    tags: list[str] = Field(
        default_factory=list, description="Only jobs that have all these tags, as in `avatar jobs list --tag`."
    )
    rows: bool = Field(True, description="Whether the jobs of the rows of a batch count, beside the batch itself.")
    allow: list[str] = Field(
        default_factory=list,
        description="Addresses or networks that the URL may lie in although they are private, such as 127.0.0.1.",
    )
    timeout_s: float = Field(10.0, gt=0, le=600, description="Longest delivery; a program is then killed.")

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", name):
            raise ValueError(f"{name!r} is no name of a hook; use a-z, digits, - and _, at most 40 of them")
        return name

    @field_validator("content_type")
    @classmethod
    def _is_type(cls, kind: str) -> str:
        if not re.fullmatch(r"[\w.+-]+/[\w.+-]+(; ?charset=utf-8)?", kind, re.ASCII | re.IGNORECASE):
            raise ValueError(f"{kind!r} is no content type, such as text/plain or application/json")
        return kind

    @field_validator("allow")
    @classmethod
    def _networks(cls, allow: list[str]) -> list[str]:
        return _check_networks(allow)

    @field_validator("headers")
    @classmethod
    def _headers_fit(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if name.lower() in _OWN_HEADERS:
                raise ValueError(f"the header {name} is written by avatard itself; remove it")
            if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
                raise ValueError(f"{name!r} is no name of a header")
            if not (value.isascii() and value.isprintable()):
                raise ValueError(f"the value of the header {name} has characters that a header may not have")
        return headers

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        given = [bool(self.command), bool(self.url), self.url_file is not None]
        if sum(given) != 1:
            raise ValueError(f"{self.name} needs one of `command`, `url` and `url_file`")
        if self.url and (fault := url_fault(self.url)):
            raise ValueError(f"`url` of {self.name} {fault}")
        if self.command and (useless := [key for key in _OF_URLS if getattr(self, key)]):
            raise ValueError(f"`{useless[0]}` of {self.name} does nothing beside `command`; remove it")
        if self.command and any("\0" in word for word in self.command):
            raise ValueError(f"`command` of {self.name} holds a NUL character")
        if unknown := unknown_places(self.body):
            raise ValueError(f"`body` of {self.name} has the unknown place {{{unknown[0]}}}; docs/hooks.md lists them")
        if self.body and self.is_json:
            try:
                json.loads(fill(self.body, {}, escape_json=True))
            except ValueError as exc:
                raise ValueError(f"`body` of {self.name} is no JSON ({exc}); or name another `content_type`") from exc
        return self

    @property
    def is_json(self) -> bool:
        """Whether the message is JSON, so that values in it are escaped."""
        kind = self.content_type.partition(";")[0].strip().lower()
        return kind == _JSON or kind.endswith("+json")


_OF_URLS: Final = ("secret_file", "token_file", "headers", "allow")


class Hooks(Section):
    """Who is told when a job ends (`avatar hooks run`)."""

    callbacks: dict[str, Callback] = Field(
        default_factory=dict,
        description="Hosts, such as studio.example.com, that jobs may name in `notify`; see below. Empty: none.",
    )
    concurrency: int = Field(4, ge=1, le=64, description="Most deliveries at a time; to one hook at most half of them.")
    proxy: str = Field(
        "",
        description="HTTP proxy that messages go through, such as http://proxy.lan:3128; not those to an address in `allow`.",
    )
    scan_s: float = Field(1.0, gt=0, description="Interval at which it is looked for jobs that have ended.")
    keep_days: float = Field(30.0, ge=0, description="Days for which deliveries that have ended are listed.")
    textfile: Folder | None = Field(
        None, description="File for node_exporter's textfile collector (NAME.prom) with the figures of the hooks."
    )
    targets: list[Hook] = Field(default_factory=list, description="The hooks; see below.")

    @field_validator("callbacks")
    @classmethod
    def _hosts(cls, callbacks: dict[str, Any]) -> dict[str, Any]:
        for host in callbacks:
            if url_fault(f"https://{host}/") or urlsplit(f"https://{host}/").hostname != host:
                raise ValueError(f"{host} is no name of a host in small letters, without port and path")
        return callbacks

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, proxy: str) -> str:
        parts = urlsplit(proxy)
        if proxy and (url_fault(proxy) or parts.scheme != "http" or parts.path not in ("", "/") or parts.query):
            raise ValueError(f"{proxy} is no proxy; write http://HOST:PORT, without a name and password")
        return proxy

    @field_validator("targets")
    @classmethod
    def _names_differ(cls, targets: list[Hook]) -> list[Hook]:
        names = [hook.name for hook in targets]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two hooks have the name {twice}; give each one of its own")
        return targets


def callback_fault(url: str, hooks: Hooks) -> str:
    """Return why a job may not name this address in `notify`, as the end of a sentence; empty if it may."""
    if fault := url_fault(url):
        return fault
    parts = urlsplit(url)
    callback = hooks.callbacks.get(parts.hostname or "")
    if callback is None:
        return f"names the host {parts.hostname}, which the configuration does not allow"
    if parts.scheme != "https" and not callback.plain_http:
        return f"begins with http://, which is not allowed for the host {parts.hostname}"
    return ""


def check_notify(url: str | None, hooks: Hooks) -> None:
    """Refuse `notify` of a manifest where it names a host that the configuration does not allow.

    Raises:
        JobError: `notify-not-allowed`.
    """
    if url is not None and (fault := callback_fault(url, hooks)):
        if urlsplit(url).hostname in hooks.callbacks and not url_fault(url):
            hint = "Write https://, or ask whoever runs avatard for `plain_http: true` below this host in `hooks.callbacks`."
        else:
            hint = "Remove it, or ask whoever runs avatard to name the host in `hooks.callbacks` of config.yaml."
        raise JobError("notify-not-allowed", f"`notify` {fault}.", hint)
