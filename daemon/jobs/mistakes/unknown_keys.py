"""A key that manifests do not know: which one is meant, and where it belongs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from daemon.config.flow import as_flow
from daemon.jobs.kinds import KINDS, Kind, keys_without_use
from daemon.jobs.manifest import Manifest
from daemon.jobs.manifest_values import GROUPS, KEYS_BELOW
from daemon.jobs.mistakes.document_errors import Mistake
from daemon.jobs.mistakes.flow_mistakes import mended_line
from daemon.jobs.mistakes.key_descriptions import first_sentence
from daemon.jobs.mistakes.key_names import is_other_name, meant_key, what_instead
from daemon.jobs.mistakes.line_mistakes import COMMENTS_ELSEWHERE, NO_COMMENTS
from daemon.jobs.mistakes.proposals import allowed_advice, is_allowed, number_limits
from daemon.jobs.mistakes.value_mistakes import advice_for_value
from daemon.jobs.mistakes.values.nearest_allowed import nearest_allowed
from daemon.jobs.mistakes.values.rough_values import advice_for_expressions
from daemon.jobs.mistakes.yaml_mistakes import hint_for_text
from daemon.jobs.yaml_positions import YamlDocument

#: Keys for whose value other tools have words of their own.
_OTHER_WORDS = ("kind", "aspect", "size", "captions", "profile.expires")

#: Keys whose value is one of a few words; what is wrong there is told, too.
_CHOSEN = ("quality", "format", "codec", "fit", "sync_mode", "priority", "background", "face")


def unknown_key_mistake(path: tuple[str | int, ...], value: Any, document: YamlDocument) -> Mistake:
    """Return what to say of a key that is not known. `value`: its value."""
    key, place = ".".join(map(str, path)), document.keys.get(path, document.mark(path))
    hint = _hint(path, value, _unused_keys_of(document.value))
    if line := _decimal_point(path, document.value):
        hint = f"A decimal number is written with a point: write `{line}`."
    elif len(path) == 1 and (group := _group_above(key, document)):
        hint = f"It belongs to `{group}` above it: begin its line with {_indent_in(group, document)} blanks."
    elif path[0] == "expressions" and (advice := advice_for_expressions({path[-1]: value})):
        hint = advice
    elif len(path) > 1 and not {*str(path[-1])}.isdisjoint("=:;"):
        line = mended_line(str(path[0]), as_flow(document.value.get(path[0], "")))
        hint = f"Write `{line}`." if line else hint
    if len(path) == 1 and not is_other_name(key) and (" " in str(value) or not hint.startswith("Did")):
        hint = f"{hint_for_text(document.lines, place.line)} {hint}".strip()
    return Mistake(place, f"`{key}` is not a known key ({place}).", hint, True, str(path[0]))


def _hint(path: tuple[str | int, ...], value: Any, unused: Collection[str] = ()) -> str:
    """Say which key was meant, and what it means where its name is another one."""
    if str(path[-1]).startswith(COMMENTS_ELSEWHERE):
        return NO_COMMENTS
    if len(path) == 1 and (instead := what_instead(str(path[0]))):
        return instead
    owner = GROUPS.get(str(path[0]), Manifest)
    meant = meant_key(str(path[-1]), owner.model_fields, *((KEYS_BELOW, unused) if owner is Manifest else ()))
    if meant is None:
        known = ", ".join(one for one in owner.model_fields if one not in unused)
        return f"Leave it out, or write one of the known keys: {known}."
    group, _, name = meant.rpartition(".")
    description = (GROUPS[group] if group else owner).model_fields[name].description or ""
    where = f"It stands below `{group}:`, indented." if group and len(path) == 1 else ""
    if len(path) == 1 and meant == path[0]:  # a manifest knows no dots
        line = f"{group}: {{{name}: {as_flow(value)}}}"
        return f"Write `{line}`." if is_allowed(line) else f"Write `{name}` below `{group}:`, indented."
    # The value may be another tool's, too: both are told at once.
    to_value = tuple(meant.split("."))
    if (limits := number_limits(to_value)) and not is_allowed(f"{name}: {as_flow(value)}", to_value):
        likely = allowed_advice(to_value, advice_for_value(meant, value, is_number=True, is_file=False))
        advice: str | None = likely or nearest_allowed(meant, value, limits)
    else:
        wrong = meant in _CHOSEN and not is_allowed(f"{name}: {as_flow(value)}", to_value)
        is_told = wrong or meant in _OTHER_WORDS
        advice = advice_for_value(meant, value, is_number=False, is_file=False) if is_told else None
    advice = allowed_advice(to_value, advice)
    if meant == "kind":  # what all the kinds are is too much where the right one is named
        written = f"kind: {as_flow(value)}"
        advice = f"Write `{written}`." if is_allowed(written) else advice
        description = "" if advice else description
    return " ".join(filter(None, (f"Did you mean `{meant}`?", where, first_sentence(description), advice)))


def _unused_keys_of(value: Any) -> list[str]:
    """Return the keys that do nothing in the kind of job that a document asks for, or are refused in it."""
    kind = kind_of(value)
    return [*keys_without_use(kind), *(keys[0] for keys, _ in kind.refuses if len(keys) == 1)] if kind else []


def kind_of(value: Any) -> Kind | None:
    """Return the kind of job that a document asks for, also by another name of `kind`; None where no kind is called so.

    Args:
        value: of the document, by key.
    """
    fields = Manifest.model_fields
    others = (one for key, one in value.items() if key not in fields and meant_key(str(key), fields) == "kind")
    return KINDS.get(str(value["kind"] if "kind" in value else next(others, "video")).strip().casefold())


def _decimal_point(path: tuple[str | int, ...], value: Any) -> str | None:
    """Return the line that is meant where a number in braces has a comma, so that the rest of it is a key: `{head: 0,5}`."""
    for step in path[:-1]:
        value = value[int(step)] if isinstance(value, list) else value.get(step, {})
    keys = list(value) if isinstance(value, dict) else []
    if not str(path[-1]).isdecimal() or path[-1] not in keys[1:]:
        return None
    before = keys[keys.index(path[-1]) - 1]
    return f"{before}: {value[before]}.{path[-1]}" if str(value[before]).isdecimal() else None


def _group_above(key: str, document: YamlDocument) -> str | None:
    """Return the group whose keys end in a line that is not indented, if `key` is one of them."""
    keys = list(document.value)
    for above in reversed(keys[: keys.index(key)] if key in keys else []):
        if above in GROUPS:
            begins_below = document.value[above] is None or document.mark((above,)).line > document.keys[above,].line
            return above if begins_below and key in GROUPS[above].model_fields else None
        if above in Manifest.model_fields:
            return None
    return None


def _indent_in(group: str, document: YamlDocument) -> int:
    """Return the number of blanks before the keys of a group; 2 where it has none yet."""
    columns = [place.column for path, place in document.keys.items() if path[0] == group and len(path) > 1]
    return max(2, columns[-1] - 1 if columns else 2)
