import sys
from pathlib import Path

import pytest

from service.local.process import NotStarted, running


@pytest.mark.integration
def test_a_service_that_ends_at_once_is_reported_with_the_place_of_its_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way to a service that runs is held by the demo, in `tests/e2e`."""
    monkeypatch.setattr(sys, "executable", "false")
    with (
        pytest.raises(NotStarted, match=r"did not start; its logs are in .*/data/logs"),
        running(tmp_path / "data"),
    ):
        pytest.fail("no service runs here")
