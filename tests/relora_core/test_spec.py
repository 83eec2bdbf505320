import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from relora_core.spec import MagnitudeReset, PretrainedModel, TrainSpec
from relora_core.spec.error_messages import FieldError, readable_errors

MINIMAL: dict[str, Any] = {
    "model": {"preset": "llama_130m"},
    "data": {"train": {"uri": "file:///data/*.jsonl"}},
    "training": {"steps": 20_000},
}


def spec(**changes: Any) -> TrainSpec:
    return TrainSpec.model_validate({**MINIMAL, **changes})


def problems(**changes: Any) -> list[FieldError]:
    document = {**MINIMAL, **changes}
    with pytest.raises(ValidationError) as caught:
        TrainSpec.model_validate(document)
    return readable_errors(caught.value, document, TrainSpec)


def test_model_data_and_steps_are_enough() -> None:
    run = spec()
    assert run.method.name == "relora"
    assert (run.warm_start_steps, run.reset_every) == (5000, 5000)
    assert (run.warmup_steps, run.restart_warmup_steps) == (500, 100)


def test_defaults_shrink_with_a_short_run() -> None:
    run = spec(training={"steps": 200})
    assert (run.warm_start_steps, run.reset_every) == (50, 50)
    assert (run.warmup_steps, run.restart_warmup_steps) == (5, 5)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_token_ids_need_the_tokenizer_that_made_them(part: str) -> None:
    data = {"train": {"uri": "a.jsonl"}, part: {"uri": "s3://tokens/*.npy"}}
    [problem] = problems(data=data)
    assert problem.path == "tokenizer"
    assert "give it as {pretrained: NAME}" in problem.message
    assert spec(data=data, tokenizer={"pretrained": "gpt2"}).data.train


def test_a_spec_survives_json() -> None:
    run = spec(method={"name": "relora", "rank": 8})
    assert TrainSpec.model_validate_json(run.model_dump_json()) == run


def test_tokens_stand_for_steps() -> None:
    run = spec(training={"tokens": 1_000_000, "global_batch_size": 10}, data=DATA_100)
    assert run.total_steps == 1000
    run = spec(training={"tokens": 1_000_001, "global_batch_size": 10}, data=DATA_100)
    assert run.total_steps == 1001


VISION = "image_classification"
VIT = {"preset": "vit_small"}
DATA_100 = {"train": {"uri": "x"}, "sequence_length": 100}


def test_a_step_of_image_classification_counts_images() -> None:
    run = spec(task=VISION, model=VIT, training={"steps": 10, "global_batch_size": 64})
    assert (run.tokens_per_step, run.unit) == (64, "images")
    assert spec().unit == "tokens"


def test_the_example_for_images_is_valid() -> None:
    file = Path(__file__).parents[2] / "examples" / "images.yaml"
    run = TrainSpec.model_validate(yaml.safe_load(file.read_text()))
    assert (run.task, run.method.name) == (VISION, "relora")


def test_a_spec_for_images_survives_json() -> None:
    run = spec(task=VISION, model=VIT)
    assert TrainSpec.model_validate_json(run.model_dump_json()) == run


def test_a_comparison_changes_the_name_of_the_method_alone() -> None:
    relora = {"name": "relora", "rank": 8, "warm_start_steps": 10, "reset_every": 20}
    assert spec(method=relora).reset_every == 20
    lora = spec(method={**relora, "name": "lora"})
    assert (lora.warm_start_steps, lora.reset_every) == (10, None)
    full = spec(method={**relora, "name": "full"})
    assert full.warm_start_steps == full.total_steps
    assert spec(method="full") == full


WRITTEN = {
    "rank": 8,
    "alpha": 4,
    "dropout": 0.1,
    "target_modules": ["*.q_proj"],
    "trainable_scaling": True,
    "frozen_dtype": "fp32",
    "factor_init": "orthogonal",
    "train_a": False,
    "warm_start": "apollo",
    "warm_start_steps": 10,
    "reset_every": 20,
    "shortest_cycle": None,
    "longest_cycle": None,
    "reset_growth": 1.5,
    "reset": "whole",
    "optimizer_reset": {"mode": "zero"},
    "update_projection_every": 50,
    "scale": 0.5,
    "granularity": "tensor",
}
OWN_FIELDS = {
    "full": 0,
    "control": 2,  # rank and target_modules, of the run that it is the control of
    "lowrank": 5,
    "lora": 10,
    "relora": 16,
    "galore": 4,
    "fira": 4,
    "apollo": 5,
}


@pytest.mark.parametrize("name", OWN_FIELDS)
def test_any_method_takes_what_is_its_own_from_the_fields_of_all(name: str) -> None:
    method = spec(method={**WRITTEN, "name": name}).method.model_dump(mode="json")
    own = {key: value for key, value in WRITTEN.items() if key in method}
    assert len(own) == OWN_FIELDS[name]
    assert {key: method[key] for key in own} == own


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ({"name": "full", "rank": "abc"}, "method.rank: must be a whole number"),
        ({"name": "full", "optimizer_reset": {"mode": "nonsense"}}, "optimizer_reset: no mode"),
        ({"name": "lora", "reset_every": 0}, "method.reset_every: must be at least"),
        ({"name": "galore", "warm_start_from": "s3://x"}, "method.warm_start_from: the trainer r"),
    ],
)
def test_what_is_ignored_has_to_be_right_too(method: dict[str, Any], expected: str) -> None:
    [problem] = problems(method=method)
    assert expected in str(problem)


def test_a_spec_knows_what_was_ignored_and_is_the_same_without() -> None:
    lora = {"name": "lora", "rank": 8}
    run = spec(method={**lora, "reset_every": 100, "scale": 1})
    assert [str(warning) for warning in run.warnings] == [
        "method.reset_every is ignored: it belongs to relora, not to lora",
        "method.scale is ignored: it belongs to galore, fira and apollo, not to lora",
    ]
    assert run == spec(method=lora)
    assert TrainSpec.model_validate_json(run.model_dump_json()).warnings == ()


def test_a_run_without_a_restart_or_with_a_rank_that_is_not_low_is_told_so() -> None:
    relora = {"name": "relora", "warm_start_steps": 10}
    steps = {"steps": 100}
    late = spec(method={**relora, "reset_every": 100}, training=steps)
    assert [(warning.code, warning.path) for warning in late.warnings] == [
        ("no_restart", "method.reset_every")
    ]
    assert spec(method={**relora, "reset_every": 99}, training=steps).warnings == ()
    wide = {"model_type": "llama", "hidden_size": 64}
    full = spec(model={"config": wide}, method={"name": "lora", "rank": 64})
    assert [(warning.code, warning.path) for warning in full.warnings] == [
        ("rank_not_low", "method.rank")
    ]
    assert spec(model={"config": wide}, method={"name": "lora", "rank": 63}).warnings == ()


def test_nobody_is_told_that_a_recipe_has_fields_of_another_method() -> None:
    run = TrainSpec.model_validate(MINIMAL | {"recipe": "relora_60m", "method": {"name": "full"}})
    assert run.warnings == ()


def test_a_run_that_starts_from_an_earlier_one_has_no_warm_start_of_its_own() -> None:
    method = {"name": "relora", "warm_start_from": "file:///runs/full/final"}
    run = spec(method=method)
    assert (run.warm_start_steps, run.reset_every) == (0, 5000)
    del method["name"]
    of_recipe = TrainSpec.model_validate({"recipe": "relora_130m", "method": method})
    assert of_recipe.warm_start_steps == 0


def test_nothing_is_dropped_out_unless_the_spec_says() -> None:
    """The released code has 0.1 in it, beyond any setting (fault 13)."""
    assert [spec(method=name).method.model_dump()["dropout"] for name in LOW_RANK] == [0.0] * 3


LOW_RANK = ["lowrank", "lora", "relora"]


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("optimizer", {"name": "adamw_8bit"}),
        ("method", {"name": "galore"}),
    ],
)
def test_what_needs_whole_tensors_is_refused_where_they_are_sharded(
    part: str, change: dict[str, Any]
) -> None:
    training = {"steps": 100, "parallelism": "fsdp"}
    [problem] = problems(training=training, **{part: change})
    assert problem.path.startswith(part)
    assert problem.message.endswith(("or take ddp", "or ddp"))
    assert spec(training={"steps": 100}, **{part: change})


GPT2 = {"pretrained": "gpt2"}


@pytest.mark.parametrize(
    ("written", "tokenizer"),
    [
        ({"model": GPT2}, GPT2),
        ({"model": PretrainedModel(pretrained="gpt2")}, GPT2),
        ({"model": GPT2, "recipe": "full_60m"}, GPT2),
        ({"model": GPT2, "tokenizer": {"pretrained": "mine"}}, {"pretrained": "mine"}),
        ({"model": {**GPT2, "init": "random"}}, {"train": {"vocab_size": 8192}}),
        ({"recipe": "full_60m"}, {"pretrained": "t5-base"}),
    ],
)
def test_pretrained_weights_come_with_their_own_tokenizer(
    written: dict[str, Any], tokenizer: dict[str, Any]
) -> None:
    assert spec(**written).tokenizer.model_dump(exclude_none=True) == tokenizer


def test_a_new_tokenizer_does_not_fit_pretrained_weights() -> None:
    written: dict[str, Any] = {"tokenizer": {"train": {"vocab_size": 8192}}}
    [problem] = problems(**written, model=GPT2)
    assert problem.path == "tokenizer"
    assert problem.message.endswith(
        "leave it out to take the model's own, or set model.init to random"
    )
    assert spec(**written, model={**GPT2, "init": "random"})


def test_an_image_model_takes_no_tokenizer_from_its_weights() -> None:
    run = spec(task=VISION, model={"pretrained": "google/vit"})
    assert run.tokenizer.model_dump() == {"train": {"vocab_size": 8192}}


@pytest.mark.parametrize("name", ["control", "lowrank"])
def test_what_changes_the_shape_starts_from_random_weights(name: str) -> None:
    [problem] = problems(model=GPT2, method={"name": name})
    assert problem.path == "model.init"
    assert problem.message.startswith(f"{name} starts from random weights")
    assert spec(model={**GPT2, "init": "random"}, method={"name": name})


def test_a_recipe_fills_in_and_what_is_written_wins() -> None:
    run = TrainSpec.model_validate(
        {
            "recipe": "relora_130m",
            "model": {"config": {"model_type": "llama"}},
            "method": {"warm_start_steps": 20, "reset_every": 20, "rank": 64},
            "training": {"steps": 100},
            "schedule": {"warmup_steps": 2, "restart_warmup_steps": 4},
        }
    )
    assert (run.training.steps, run.training.global_batch_size) == (100, 600)
    assert run.method.model_dump()["optimizer_reset"] == MagnitudeReset(ratio=0.99).model_dump()
    assert run.model.model_dump() == {"config": {"model_type": "llama"}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"method": {"name": "relora", "rank": 0}}, "method.rank: must be at least"),
        ({"method": {"name": "relora", "rnk": 8}}, "method.rnk: unknown field; did you mean `rank"),
        (
            {"method": {"name": "dora"}},
            "method: no name 'dora'; did you mean `lora`?",
        ),
        (
            {"model": {"preset": "llama_2m"}},
            "model.preset: no preset 'llama_2m'; did you mean `",
        ),
        ({"model": {}}, "model: give exactly one of `preset`, `config`, `pretrained`"),
        ({"data": {"train": {}}}, "data.train.uri: required"),
        ({"data": {"train": {"uri": "ftp://x/y"}}}, "data.train.uri: cannot read 'ftp://x/y'"),
        ({"training": {}}, "training: give exactly one of `steps`, `tokens`"),
        ({"training": {"steps": 5, "tokens": 5}}, "training: give exactly one of"),
        ({"schedule": {"warmup_steps": 20_000}}, "schedule.warmup_steps: must be less than the"),
        ({"method": {"name": "relora", "warm_start_steps": 20_000}}, "method.warm_start_steps: mu"),
        ({"method": {"name": "relora", "rank": 800}}, "method.rank: must be at most the hidden"),
        (
            {"method": {"name": "lora", "variant": "merged", "dropout": 0.1}},
            "method.variant: merged has no low-rank branch",
        ),
        (
            {"method": {"name": "lora", "warm_start_from": "run", "warm_start_steps": 5}},
            "method.warm_start_from: stands for warm_start_steps; give one of the two",
        ),
        (
            {"method": {"name": "relora", "warm_start_from": "s3://models/run"}},
            "method.warm_start_from: the trainer reads no s3:// ('s3://models/run'); copy the fi",
        ),
        (
            {"model": {"pretrained": "gpt2"}, "method": {"name": "lora", "warm_start_from": "r"}},
            "model.init: method.warm_start_from gives the weights already; set it to random",
        ),
        (
            {"optimizer": {"low_rank_learning_rate": 1e-3, "factor_learning_rate": "auto"}},
            "optimizer.factor_learning_rate: is the rate of A and B alone, low_rank_learning_rate "
            "that of all that the low-rank phase trains; give one of the two",
        ),
        (
            {"optimizer": {"factor_learning_rate": "aut"}},
            'optimizer.factor_learning_rate: must be a number, or must be auto; got "aut"',
        ),
        ({"optimizer": {"factor_learning_rate": 0}}, "optimizer.factor_learning_rate: must be gr"),
        (
            {"method": {"name": "relora", "optimizer_reset": {"mode": "rotate"}}},
            "method.optimizer_reset: rotate needs rows of A that are orthonormal and stay so; set "
            "factor_init to orthogonal or gradient and train_a to false, or take another mode",
        ),
        (
            {
                "method": {
                    "name": "relora",
                    "optimizer_reset": {"mode": "rotate"},
                    "factor_init": "gradient",
                    "train_a": False,
                },
                "optimizer": {"name": "adamw_8bit"},
            },
            "method.optimizer_reset: rotate needs moments in fp32, and adamw_8bit has them in 8 bi",
        ),
        (
            {
                "method": {"name": "lora", "factor_init": "gradient"},
                "training": {"steps": 100, "parallelism": "fsdp"},
            },
            "method.factor_init: gradient needs the whole gradient of a layer, which no rank has",
        ),
        (
            {"method": {"name": "relora", "reset_every": "aut"}},
            'method.reset_every: must be a whole number, or must be auto; got "aut"',
        ),
        (
            {"method": {"name": "relora", "reset_every": 20, "shortest_cycle": 5}},
            "method.shortest_cycle: bounds the cycles that a run ends itself; set "
            "method.reset_every to auto, or leave it out",
        ),
        (
            {
                "method": {
                    "name": "relora",
                    "reset_every": "auto",
                    "shortest_cycle": 30,
                    "longest_cycle": 20,
                }
            },
            "method.longest_cycle: must be at least method.shortest_cycle (30); got 20",
        ),
        (
            {"method": {"name": "relora", "reset_every": "auto", "reset_growth": 2}},
            "method.reset_growth: says how cycles grow, and auto decides it; set it to 1",
        ),
        (
            {"method": {"name": "relora", "reset_every": "auto", "reset": "rolling"}},
            "method.reset_every: auto decides when a whole cycle ends, and rolling restarts come",
        ),
        (
            {
                "method": {"name": "relora", "reset_every": "auto", "shortest_cycle": 5},
                "schedule": {"restart_warmup_steps": 5},
            },
            "schedule.restart_warmup_steps: must be less than method.shortest_cycle (5); got 5",
        ),
        (
            {"method": {"name": "relora", "reset": "half", "rank": 1}},
            "method.reset: half needs a rank of at least 2; raise method.rank or take whole",
        ),
        (
            {
                "method": {
                    "name": "relora",
                    "reset": "half",
                    "rank": 8,
                    "optimizer_reset": {"mode": "keep"},
                }
            },
            "method.optimizer_reset: half clears the state of what it renews; take mode zero or",
        ),
        (
            {"method": {"name": "relora", "reset": "half", "rank": 8, "factor_init": "gradient"}},
            "method.factor_init: gradient sets all rows of A at a restart, and half keeps some",
        ),
        (
            {"method": {"name": "relora", "reset": "rolling", "rank": 1}},
            "method.reset: rolling needs a rank of at least 2; raise method.rank or take whole",
        ),
        (
            {"method": {"name": "relora", "reset": "rolling", "rank": 8, "reset_every": 7}},
            "method.reset_every: rolling renews one of 8 components at a restart, so a cycle needs "
            "at least 8 steps (method.rank); got 7",
        ),
        (
            {"method": {"name": "relora", "reset": "rolling", "rank": 8, "reset_growth": 2}},
            "method.reset_growth: rolling restarts come at equal distances; set it to 1",
        ),
        (
            {
                "method": {
                    "name": "relora",
                    "reset": "rolling",
                    "rank": 8,
                    "factor_init": "gradient",
                }
            },
            "method.factor_init: gradient sets all rows of A at a restart, and rolling keeps some",
        ),
        (
            {
                "method": {
                    "name": "relora",
                    "reset": "rolling",
                    "rank": 8,
                    "optimizer_reset": {"mode": "magnitude"},
                }
            },
            "method.optimizer_reset: rolling clears the state of what it renews; take mode zero or",
        ),
        (
            {"method": {"name": "relora", "warm_start": "apollo", "warm_start_from": "run"}},
            "method.warm_start: there is none to train as apollo, for warm_start_from stands f",
        ),
        (
            {
                "method": {"name": "lora", "warm_start": "galore"},
                "optimizer": {"name": "adamw_8bit"},
            },
            "method.warm_start: galore runs with optimizer adamw alone; got adamw_8bit; take full",
        ),
        (
            {
                "method": {"name": "lora", "warm_start": "apollo"},
                "training": {"steps": 100, "parallelism": "fsdp"},
            },
            "method.warm_start: apollo projects whole gradients, which no rank has under training.",
        ),
        (
            {"method": {"name": "lora", "warm_start": "fira"}},
            "method.warm_start: must be full, gal",
        ),
        (
            {"method": {"name": "lora"}, "optimizer": {"name": "muon"}},
            "optimizer.name: muon is for the weights of the blocks, which are frozen without a "
            "warm start; set method.warm_start_steps, or take adamw",
        ),
        (
            {"method": {"name": "lowrank"}, "optimizer": {"name": "muon"}},
            "optimizer.name: lowrank runs with adamw or adamw_8bit alone; got muon",
        ),
        (
            {"method": {"name": "galore"}, "optimizer": {"name": "muon"}},
            "optimizer.name: galore runs with adamw alone; got muon",
        ),
        (
            {
                "method": {"name": "full"},
                "optimizer": {"name": "muon"},
                "training": {"steps": 100, "parallelism": "fsdp"},
            },
            "optimizer.name: muon orthogonalizes whole matrices, which no rank has under training.",
        ),
        (
            {"method": {"name": "galore"}, "optimizer": {"name": "adamw_8bit"}},
            "optimizer.name: galore runs with adamw alone; got adamw_8bit",
        ),
        ({"method": {"name": "galore", "rank": 800}}, "method.rank: must be at most the hidden"),
        ({"recipe": "relora_2t"}, "recipe: no recipe 'relora_2t'; did you mean `relora_"),
        ({"recipe": ["relora_60m"]}, "recipe: must be text"),
        ({"method": {"name": {}}}, "method: no name '{}'; there are full"),
        ({"unheard": 1}, "unheard: unknown field"),
        ({"spectrum": {"since_step": 20_000}}, "spectrum.since_step: must be less than the 20,000"),
        ({"schedule": {"decay_steps": 5}}, "schedule.decay_steps: belongs to wsd; the schedule is"),
        (
            {"schedule": {"name": "wsd", "warmup_steps": 500, "decay_steps": 19_501}},
            "schedule.decay_steps: must be at most the 19,500 steps after the warm-up; got 19501",
        ),
        ({"task": "chess"}, "task: must be causal_lm or image_classification"),
        ({"task": VISION}, "model.preset: llama_130m is a model for task causal_lm, not image_cla"),
        ({"model": {"preset": "vit_tiny"}}, "model.preset: vit_tiny is a model for task image_cl"),
        (
            {"data": {"train": {"uri": "x"}, "augmentation": "none"}},
            "data.augmentation: belongs to task image_classification; leave it out, or write `task",
        ),
        (
            {"task": VISION, "tokenizer": {"pretrained": "gpt2"}},
            "tokenizer: belongs to task causal_lm; leave it out, or write `task: causal_lm`",
        ),
        ({"task": VISION, "data": DATA_100}, "data.sequence_length: belongs to task causal_lm"),
        ({"task": VISION, "training": {"tokens": 1000}}, "training.tokens: belongs to task causal"),
        (
            {"task": VISION, "model": VIT, "data": {"train": {"uri": "s3://bucket/images"}}},
            "data.train.uri: images are read from a folder that the trainer sees or from hf://",
        ),
        (
            {
                "method": {"name": "relora", "reset_every": 50},
                "schedule": {"restart_warmup_steps": 50},
            },
            "schedule.restart_warmup_steps: must be less than method.reset_every (50); got 50",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(changes: dict[str, Any], expected: str) -> None:
    [problem] = problems(**changes)
    assert str(problem).startswith(expected)


def test_every_problem_is_told_at_once() -> None:
    found = problems(method={"name": "relora", "rank": 0, "alpha": -1}, training={"steps": "many"})
    assert {problem.path for problem in found} == {"method.rank", "method.alpha", "training.steps"}


def test_the_schema_can_be_published() -> None:
    assert "jagged_cosine" in json.dumps(TrainSpec.model_json_schema())
