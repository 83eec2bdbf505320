"""Events of an earlier attempt on this node that its worker died before storing."""

from functools import partial
from itertools import chain

from relora_core.events import CheckpointSaved, Rewound
from worker.attempt.attempt import Attempt
from worker.attempt.workdir import Workdir
from worker.supervision.tail import MAX_LINES, Line, Tail


def store_history(attempt: Attempt, earlier: Workdir, step: int) -> None:
    """Store the events of the earlier attempt up to its checkpoint of `step`, each line once.

    The attempt that resumes from this checkpoint reports the later steps again.
    """
    tail = Tail(earlier.events, attempt.secrets.masked)
    lines = _up_to_checkpoint(list(chain.from_iterable(iter(tail.read, []))), step)
    for start in range(0, len(lines), MAX_LINES):
        append = partial(
            attempt.store.append,
            *(attempt.job.id, attempt.number, lines[start : start + MAX_LINES]),
            reported_by=earlier.attempt,
        )
        attempt.retry_while_leased(append)


def _up_to_checkpoint(lines: list[Line], step: int) -> list[Line]:
    """Return the lines up to the checkpoint, without steps after `step`.

    A checkpoint is written in the background, so later steps may be reported before it. A trainer
    that was killed may not have reported the checkpoint at all.
    """
    places = [
        place
        for place, (_, event) in enumerate(lines, start=1)
        if isinstance(event, CheckpointSaved) and event.step == step
    ]
    lines = lines[: places[-1]] if places else lines
    rewinds = [
        place for place, (_, event) in enumerate(lines, start=1) if isinstance(event, Rewound)
    ]
    undone = rewinds[-1] if rewinds else 0
    return [
        *lines[:undone],
        *(line for line in lines[undone:] if (getattr(line[1], "step", None) or 0) <= step),
    ]
