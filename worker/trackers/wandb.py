"""The Weights & Biases tracker: one run for all attempts of a job."""

from collections.abc import Sequence

import wandb

from jobs.schemas.trackers import WandbTracker
from worker.trackers.points import AppendOnly, ResumedAt, TrackedPoint
from worker.trackers.tracker import Outcome, Tracked


class WandbRun:
    """A run of Weights & Biases, with the steps of the trainer.

    The server accepts each step only once, and only in increasing order.
    """

    def __init__(self, spec: WandbTracker, run: Tracked) -> None:
        offline = spec.mode == "offline"
        folder = run.reports if offline else run.workdir / "trackers"
        folder.mkdir(exist_ok=True)
        self._run = wandb.init(
            project=spec.project,
            entity=spec.entity,
            id=run.job_id,
            resume="allow",
            name=run.name,
            config=run.spec,
            tags=[f"{key}:{value}"[:64] for key, value in run.labels.items()],
            dir=str(folder),
            mode=spec.mode,
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                x_save_requirements=False,
                init_timeout=60,
            ),
        )
        self._next_step = self._run.step if self._run.resumed else 0
        self._new = AppendOnly()

    def draw(self, news: Sequence[TrackedPoint | ResumedAt]) -> None:
        for new in news:
            if not isinstance(new, TrackedPoint) or new.step < self._next_step:
                continue
            if values := self._new.of(new):
                self._run.log(values, step=new.step)

    def finish(self, outcome: Outcome) -> None:
        self._run.finish(exit_code=1 if outcome == "failed" else 0)
        wandb.teardown()  # its files are complete only after this
