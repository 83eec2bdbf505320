import json
import re
import shlex
from pathlib import Path

import pytest

from relora_core.__main__ import main

PAGE = Path(__file__).parents[3] / "docs" / "estimate.md"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "spec.yaml"
    file.write_text("recipe: relora_130m\ntraining: {micro_batch_size: 60}\n")
    return file


def test_the_command_prints_a_table_with_the_phases_beside_full_rank(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["estimate", str(spec), "--gpu", "a100_80gb", "--gpus", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "relora: relora on 2 x a100_80gb, 6.14B tokens"
    assert lines[3].split() == ["warm_start", "low_rank", "all", "full_rank"]
    rows = {line[:24].strip(): line[24:].split() for line in lines}
    assert rows["steps"] == ["5,000", "15,000", "20,000"]
    assert rows["trainable"] == ["134.3M", "71.7M", "134.3M"]
    assert any("in warm_start: it fits into a100_80gb" in line for line in lines)
    assert any(line.startswith("Assumed: 40% of the peak") for line in lines)


def test_a_tiny_run_has_units_that_fit_and_the_assumed_gpu_is_named(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.jsonl"
    text.write_bytes(b"x" * 4096)  # some 1,024 tokens
    size = "model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2"
    spec.write_text(
        f"model: {{config: {{{size}, num_attention_heads: 4}}}}\n"
        f"data: {{train: {{uri: {text}}}, sequence_length: 64}}\n"
        "training: {steps: 128, global_batch_size: 8}\nmethod: {name: full}\n"
    )
    assert main(["estimate", str(spec)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("relora: full on 1 x h100, 65.5k tokens, about 64 epochs of the data")
    assert " 0.00" not in out
    assert re.search(r"Time [0-9.]+ µs, for", out)
    assert err.splitlines()[0].startswith("warning: training reads its data for about 64 epochs")
    assert err.splitlines()[-1] == "h100 is assumed; --gpu names another GPU"


def test_the_same_as_one_json_object(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", str(spec), "--json", "--utilization", "0.5"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["hardware"]["utilization"] == 0.5
    assert document["micro_batch_size"] == 60
    assert [phase["phase"] for phase in document["run"]["phases"]] == ["warm_start", "low_rank"]
    assert document["run"]["peak_bytes"] == max(
        phase["memory"]["peak"] for phase in document["run"]["phases"]
    )


def test_full_rank_is_not_shown_twice(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text("recipe: full_130m")
    assert main(["estimate", str(spec)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].split() == ["full_rank"]
    assert not any(line.startswith("Beside full rank") for line in lines)


def test_what_cannot_be_estimated_is_told_and_is_no_success(
    spec: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["estimate", str(spec), "--gpus", "7"]) == 2
    assert "does not divide over 7 GPUs" in caplog.text


def test_the_page_shows_what_its_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    (_, shell), (_, shown) = blocks[:2]
    written, command = shell.splitlines()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.json").write_text(shlex.split(written)[1])
    words = shlex.split(command)
    assert words[:3] == [".venv/bin/python", "-m", "relora_core"]
    assert main(words[3:]) == 0
    assert capsys.readouterr().out == shown
