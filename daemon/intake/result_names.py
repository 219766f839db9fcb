"""Tells which manifests in the inbox may become a job of a given result name. It is kept up to date, so that a question costs no
search.
"""

from __future__ import annotations

from collections.abc import Iterable

from daemon.outbox.names import clean_stem
from daemon.system.spelling import folded


class ResultNames:
    """Remembers the result names that each manifest asks for. A manifest is named by its path below the inbox."""

    def __init__(self) -> None:
        self._results: dict[str, tuple[str, ...]] = {}
        self._manifests: dict[str, dict[str, None]] = {}
        self._alike: dict[str, dict[str, None]] = {}

    def expect(self, manifest: str, names: Iterable[str]) -> None:
        """Note the result names that a manifest asks for, instead of those known before. `manifest`: its path below the inbox."""
        self.forget(manifest)
        self._results[manifest] = tuple({clean_stem(name) for name in names})
        for result in self._results[manifest]:
            self._manifests.setdefault(result, {})[manifest] = None
            self._alike.setdefault(folded(result), {})[manifest] = None

    def forget(self, manifest: str) -> None:
        """Forget a manifest that is not in the inbox any more."""
        for result in self._results.pop(manifest, ()):
            for known, name in ((self._manifests, result), (self._alike, folded(result))):
                manifests = known.get(name, {})
                manifests.pop(manifest, None)
                if not manifests:
                    known.pop(name, None)

    def keep(self, present: set[str]) -> None:
        """Forget all other manifests."""
        for manifest in self._results.keys() - present:
            self.forget(manifest)

    def of(self, result: str) -> list[str]:
        """Return the manifests that ask for a result name; where there is none, those that ask for it in other capitals."""
        if (exact := self._manifests.get(result)) is not None:
            return list(exact)
        return list(self._alike.get(folded(result), ()))

    def __contains__(self, manifest: str) -> bool:
        return manifest in self._results
