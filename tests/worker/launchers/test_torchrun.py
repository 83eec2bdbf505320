from pathlib import Path

from worker.launchers.torchrun import last_words

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


def test_no_line_is_shown_from_its_middle_on(tmp_path: Path) -> None:
    log = tmp_path / "attempt-1.log"
    log.write_text("token=" + "hf_0123" * 3000 + "\nthe end\n")

    assert last_words(log) == "the end"
