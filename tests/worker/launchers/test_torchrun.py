from pathlib import Path

import pytest

from jobs.settings import Settings
from worker.launchers.torchrun import environ, last_words

LOG = """step 10: loss 5.1
RuntimeError: the reason
E1124 07:45:47 api.py:1002] failed (exitcode: 1) local_rank: 0 (pid: 18376) of binary: python
Traceback (most recent call last):
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
"""


def test_the_last_words_end_where_torchrun_begins_to_talk_of_itself(tmp_path: Path) -> None:
    log = tmp_path / "attempt-1.log"
    log.write_text(LOG)

    assert last_words(log) == "\n".join(LOG.splitlines()[:3])


def test_of_a_long_log_only_the_end_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "attempt-1.log"
    log.write_text("".join(f"{number}\n" for number in range(100_000)))

    assert last_words(log).splitlines() == [str(number) for number in range(99_980, 100_000)]


def test_processes_share_the_cores_unless_the_operator_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert environ(10_000)["OMP_NUM_THREADS"] == "1"

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environ(10_000)["OMP_NUM_THREADS"] == "3"


def test_the_trainer_is_not_told_where_the_database_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELORA_DATABASE_URL", "postgresql://user:password@host/name")

    assert Settings.model_config["env_prefix"] == "RELORA_"
    assert "RELORA_DATABASE_URL" not in environ(1)
