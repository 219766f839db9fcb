"""How often the inbox is looked at."""

from __future__ import annotations

import pytest

from daemon.loops import debounce_s


@pytest.mark.parametrize(("scan_s", "pause_s"), [(0.0, 0.005), (0.01, 0.02), (0.3, 0.05)])
def test_a_small_inbox_is_looked_at_sooner_and_a_large_one_no_oftener_than_before(
    scan_s: float, pause_s: float
) -> None:
    assert debounce_s(scan_s) == pytest.approx(pause_s)
