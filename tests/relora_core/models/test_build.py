"""The model that a spec names."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from relora_core.errors import ModelError
from relora_core.models.build import make_config
from relora_core.spec import TrainSpec

KERNEL = "somebody/kernel"
TINY = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 300,
}


def spec_of(model: dict[str, Any]) -> TrainSpec:
    return TrainSpec.model_validate(
        {
            "model": model,
            "data": {"train": {"uri": "/corpus.txt"}},
            "training": {"steps": 10, "global_batch_size": 4},
        }
    )


@pytest.mark.parametrize(
    "field", ["attn_implementation", "_attn_implementation", "experts_implementation"]
)
def test_a_config_names_no_code_on_the_hub(field: str) -> None:
    for config in ({**TINY, field: KERNEL}, {**TINY, "text_config": {field: KERNEL}}):
        with pytest.raises(ValidationError, match=f"{field} '{KERNEL}' names code on the Hub"):
            spec_of({"config": config})


def test_nor_does_the_config_that_a_model_comes_with(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**TINY, "_attn_implementation": KERNEL}))
    spec = spec_of({"pretrained": str(tmp_path)})
    with pytest.raises(ModelError, match="names code on the Hub"):
        make_config(spec, {})
