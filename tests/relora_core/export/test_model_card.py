import re
from typing import Any

import yaml

from relora_core.export.model_card import model_card
from relora_core.spec import PretrainedModel
from relora_core.state import Counters
from tests.relora_core.conftest import MakeSpec


def card(make_spec: MakeSpec, **changes: Any) -> str:
    counters = Counters(step=12, restarts=1, tokens_seen=1536, metrics={"validation_loss": 2.5})
    return model_card(
        make_spec(**changes), counters, parameters=1_234_567, auto_model="AutoModelForCausalLM"
    )


def front_matter(text: str) -> dict[str, Any]:
    _, yaml_part, body = text.split("---\n", 2)
    assert body.startswith("# ")
    document: dict[str, Any] = yaml.safe_load(yaml_part)
    return document


def rows(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text, re.M))


def test_the_front_matter_is_yaml_and_claims_no_licence(make_spec: MakeSpec) -> None:
    assert front_matter(card(make_spec)) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["relora"],
    }


def test_it_names_what_it_was_made_from_on_the_hub(make_spec: MakeSpec) -> None:
    source = {"uri": "hf://allenai/c4?config=en"}
    held_out = {"uri": "hf://allenai/c4?config=en&split=validation"}
    spec = make_spec(data={"train": source, "validation": held_out})
    spec = spec.model_copy(update={"model": PretrainedModel(pretrained="a/model-70m")})
    text = model_card(spec, Counters(), parameters=1, auto_model="AutoModelForCausalLM")
    assert front_matter(text)["datasets"] == ["allenai/c4"]
    assert front_matter(text)["base_model"] == "a/model-70m"
    local = spec.model_copy(update={"model": PretrainedModel(pretrained="/home/me/model")})
    text = model_card(local, Counters(), parameters=1, auto_model="AutoModelForCausalLM")
    assert "base_model" not in front_matter(text)


def test_a_reader_learns_data_recipe_restarts_and_metrics(make_spec: MakeSpec) -> None:
    table = rows(card(make_spec, method={"frozen_dtype": "bf16"}))
    expected = {
        "parameters": "1,234,567",
        "recipe": "none; see `relora.json`",
        "method": "relora",
        "rank": "4",
        "frozen dtype": "bf16",
        "warm start": "4 full-rank steps",
        "restarts": "1, one every 4 steps",
        "optimizer": "AdamW, learning rate 0.003, in low rank 0.006, betas 0.9, 0.95, "
        "weight decay 0",
        "schedule": "jagged_cosine, 0 warm-up steps",
        "precision": "fp32, exported as fp32",
        "steps": "12 of 12",
        "tokens seen": "1,536",
        "validation_loss": "2.5000",
    }
    assert table.items() >= expected.items()
    full = rows(card(make_spec, method={"name": "full"}))
    assert "in low rank" not in full["optimizer"]
    own = rows(card(make_spec, optimizer={"factor_learning_rate": "auto"}))
    assert "learning rate 0.003, in low rank 0.003, of A and B auto" in own["optimizer"]
    growing = rows(card(make_spec, method={"reset_growth": 1.5}))
    assert growing["restarts"] == "1, the first cycle of 4 steps, each 1.5 times as long as before"
