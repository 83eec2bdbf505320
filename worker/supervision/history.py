"""Events that an earlier attempt on this node reported, and did not live to store."""

from functools import partial
from itertools import chain

from relora_core.events import CheckpointSaved, Rewound
from worker.attempt.attempt import Attempt
from worker.attempt.workdir import Workdir
from worker.supervision.tail import MAX_LINES, Line, Tail


def store_history(attempt: Attempt, earlier: Workdir, step: int) -> None:
    """Store what the earlier attempt reported up to its checkpoint of `step`, each line once.

    What came later is repeated by the attempt that goes on from there.
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
    """A checkpoint is written beside the training, so steps after it may be reported before it;
    a trainer that was killed may not have reported it at all."""
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
