"""An error that leaves the trainer is one of its own, or a callback's as it is."""

from functools import partial
from itertools import count
from pathlib import Path

import pytest

from relora_core import process
from relora_core.errors import DataError, UnexpectedError
from relora_core.errors.unexpected import as_train_error
from relora_core.events import AnyTrainEvent, CheckpointSaved, StepFinished, TrainStarted
from relora_core.export import from_checkpoint
from relora_core.export.from_checkpoint import export_checkpoint
from relora_core.generate import sampler
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder

UNTHOUGHT = ZeroDivisionError("nobody thought of this")


def fail(*_: object, **__: object) -> None:
    raise UNTHOUGHT


def test_a_callbacks_error_leaves_as_it_is_whatever_the_trainer_made_of_it() -> None:
    @as_train_error()
    def unwatched() -> None:
        fail()

    def misread() -> None:
        with as_train_error() as callbacks:
            try:
                callbacks.watch("emit", fail)()
            except ZeroDivisionError as error:
                raise DataError("the data cannot be read") from error

    with pytest.raises(UnexpectedError):
        unwatched()
    with pytest.raises(ZeroDivisionError) as raised:
        misread()
    assert raised.value is UNTHOUGHT
    assert raised.value.__notes__ == ["raised by `emit`, which the caller of the trainer gave it"]


@pytest.mark.parametrize(
    ("callback", "kind"),
    [
        ("emit", OSError),
        ("emit of a checkpoint", KeyboardInterrupt),
        ("stop_requested", SystemExit),
    ],
)
def test_a_run_that_a_callback_broke_tells_its_error_and_resumes(
    callback: str, kind: type[BaseException], make_spec: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    spec = make_spec(method={"name": "full"}, checkpoint={"every": 2}, training={"steps": 4})
    error, seen, asked = kind("the caller's"), Recorder(), count(1)
    breaks_at = CheckpointSaved if callback == "emit of a checkpoint" else StepFinished

    def emit(event: AnyTrainEvent) -> None:
        seen(event)
        if callback != "stop_requested" and isinstance(event, breaks_at) and event.step >= 2:
            raise error

    def stop_requested() -> bool:
        if callback == "stop_requested" and next(asked) == 3:
            raise error
        return False

    with pytest.raises(kind) as raised:
        train(spec, tmp_path, emit, stop_requested, cache=cache)
    assert raised.value is error
    assert f"raised by `{callback.split()[0]}`" in error.__notes__[0]

    resumed = Recorder()
    assert train(spec, tmp_path, resumed, cache=cache)
    assert resumed.of(TrainStarted)[0].step == max(
        (event.step for event in seen.of(CheckpointSaved)), default=0
    )


def test_an_export_and_a_generation_raise_no_error_but_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(from_checkpoint, "step_folders", fail)
    monkeypatch.setattr(sampler, "AutoModelForCausalLM", None)
    for entry in (
        partial(export_checkpoint, tmp_path / "run", tmp_path / "model"),
        partial(sampler.Sampler.load, tmp_path, device="cpu"),
    ):
        with pytest.raises(UnexpectedError, match="does not know; its log has the traceback"):
            entry()


def test_a_command_tells_an_error_that_nobody_expects_with_its_traceback(
    make_spec: MakeSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(process, "build_task", fail)
    monkeypatch.setattr(process, "export_checkpoint", as_train_error()(fail))
    commands = (
        partial(process.prepare_data, make_spec(), cache=tmp_path),
        partial(process.export_model, tmp_path, tmp_path / "to", step=None, dtype=None),
    )
    for command in commands:
        caplog.clear()
        assert command() == 1
        assert "ZeroDivisionError: nobody thought of this" in caplog.messages[-1]
        assert "Traceback" in caplog.text
