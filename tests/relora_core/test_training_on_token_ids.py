import json
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from relora_core.estimate.shape_of import shape_of
from relora_core.export.from_checkpoint import export_checkpoint
from relora_core.spec import TrainSpec
from relora_core.training.train import train
from tests.relora_core.conftest import TINY_LLAMA, MakeSpec, Recorder


@pytest.mark.slow
def test_a_run_without_a_tokenizer_saves_its_end_of_document_and_no_tokenizer(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    ids = np.random.default_rng(0).integers(1, 50, size=(400, 16))
    ids[:, -1] = 0
    np.save(tmp_path / "ids.npy", ids.reshape(-1).astype(np.uint16))
    document = make_spec().model_dump(mode="json")
    document["model"] = {"config": {**TINY_LLAMA, "vocab_size": 50}}
    document["tokenizer"] = {"eos_token_id": 0}
    document["data"]["train"] = {"uri": str(tmp_path / "ids.npy")}
    spec = TrainSpec.model_validate(document)

    assert shape_of(spec).embeddings == 50 * TINY_LLAMA["hidden_size"]
    train(spec, tmp_path / "run", Recorder(), cache=tmp_path / "cache")

    export_checkpoint(tmp_path / "run", tmp_path / "run" / "exported")

    final = tmp_path / "run" / "final"
    saved = [path for path in (tmp_path / "run").rglob("*token*") if path.is_file()]
    assert saved == []
    assert json.loads((final / "generation_config.json").read_text())["eos_token_id"] == 0
    assert AutoModelForCausalLM.from_pretrained(final).config.vocab_size == 50
    assert "AutoTokenizer" not in (final / "README.md").read_text()
