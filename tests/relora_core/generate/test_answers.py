"""Requests for text are answered in their folder."""

import json
from pathlib import Path

import pytest

from relora_core.errors import TrainError
from relora_core.generate import answers
from relora_core.generate.answers import Answers
from relora_core.generate.sampler import Sample, Sampler, SampleRequest, Tell
from relora_core.workdir.files import SAMPLE_ANSWER, SAMPLE_REQUEST

REQUEST = {"prompt": "a", "max_new_tokens": 2, "temperature": 0, "top_p": 1, "seed": 0}
SAMPLE = Sample(text="bc", prompt_tokens=1, new_tokens=2, finish_reason="length")


def ask(folder: Path, **fields: object) -> None:
    folder.mkdir()
    (folder / SAMPLE_REQUEST).write_text(json.dumps({**REQUEST, **fields}))


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / SAMPLE_ANSWER).read_text().splitlines()]


def test_a_text_is_told_as_it_grows_and_its_model_stays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []

    def load(folder: Path, *, device: str) -> Sampler:
        assert device == "cpu"
        loaded.append(folder)
        return Sampler(None, None)

    def sample(_: Sampler, request: SampleRequest, tell: Tell) -> Sample:
        assert request.prompt == "a"
        tell("b")
        tell("bc")
        return SAMPLE

    monkeypatch.setattr(answers, "BETWEEN_LINES_SECONDS", 0)
    monkeypatch.setattr(Sampler, "load", load)
    monkeypatch.setattr(Sampler, "sample", sample)
    answering = Answers(device="cpu")
    for number, model in enumerate(["one", "one", "other"]):
        ask(tmp_path / str(number), model=model)
        answering.answer(tmp_path / str(number))
    assert loaded == [Path("one"), Path("other")]
    assert lines(tmp_path / "0") == [
        {"text": "b"},
        {"text": "bc"},
        {
            "sample": {
                "text": "bc",
                "prompt_tokens": 1,
                "new_tokens": 2,
                "finish_reason": "length",
            }
        },
    ]


@pytest.mark.parametrize("wrong", [{"model": "none"}, {"model": "none", "seed": "x"}])
def test_an_error_is_the_answer(tmp_path: Path, wrong: dict[str, object]) -> None:
    ask(tmp_path / "asked", **wrong)
    with pytest.raises(TrainError) as raised:
        Answers(device="cpu").answer(tmp_path / "asked")
    assert lines(tmp_path / "asked") == [{"error": str(raised.value)}]
