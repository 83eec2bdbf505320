"""What people write by mistake or on purpose: refused at once, in words that say what to change.

Each case goes through the service, through `relora jobs submit` and through the trainer.
"""

import json
import logging
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer import testing
from typer.main import get_command
from typer.testing import CliRunner, Result

from jobs.admin.migrate import migrate
from jobs.backends import open_backends
from jobs.settings import Settings
from relora_core.__main__ import main
from service.cli.program import app
from tests.service.serving import serving

pytestmark = pytest.mark.integration

SECONDS = 0.1  # of the processor, for an answer
TRIES = 5
LEAKS = re.compile(
    r"Value error|body\.|query\.|Input should|value is not a valid|Traceback|StrictDataclass"
    r"|pydantic|huggingface_hub|\b(transformers|torch|yaml|json|click|typer|httpx)\.\w"
    r"|\b[A-Z]\w*(Error|Exception|Config|Model)\b"  # the name of a class
    r"|\b(GET|HEAD|POST|PUT|PATCH|DELETE) /|\bHTTP [1-5]\d\d\b"
)
INFINITY, NOT_A_NUMBER = float("inf"), float("nan")
HALF = "\ud83d"
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def llama(**fields: Any) -> dict[str, Any]:
    return {"model": {"config": {"model_type": "llama", **SMALL, **fields}}}


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def training(**fields: Any) -> dict[str, Any]:
    return {"training": {"steps": 12, **fields}}


def method(**fields: Any) -> dict[str, Any]:
    return {"method": {"name": "relora", "rank": 4, **fields}}


BLOOM = {"model_type": "bloom", "hidden_size": 64, "n_layer": 2, "n_head": 4}


def mixture(*sources: dict[str, Any], stages: dict[int, dict[str, float]] | None = None) -> Any:
    train = [{"uri": "/x", "name": "web", **fields} for fields in sources]
    later = [{"from_step": step, "weights": weights} for step, weights in (stages or {}).items()]
    return {"data": {"train": train, "stages": later}}


# What is written, and what its answer holds: a path or a piece of its reason.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({f"unknown{n}": 1 for n in range(3000)}, "and 2,980 more problems"),
    ({f"unknown{n}": 1 for n in range(20_000)}, "at most 65,536 bytes"),
    ({"x" * 5000: 1}, "unknown field"),
    ({"nmae": "x"}, "did you mean `name`?"),
    ({"name": ""}, "name: must not be empty"),
    ({"name": "x" * 201}, "name: must have at most 200 characters"),
    ({"name": "a\r\nb"}, "name: must be one line"),
    ({"name": "a\x00b"}, "name: must be one line"),
    ({"name": "a\u202eb"}, "name: must be one line"),
    ({"name": HALF}, "name: must be valid Unicode"),
    ({HALF: 1}, "must be valid Unicode"),
    ({"name": 5}, "name: must be text"),
    ({"version": 2}, "version: must be 1"),
    ({"task": "chess"}, "task: must be causal_lm or image_classification"),
    ({"recipe": "relora-60m"}, "did you mean `relora_60m`?"),
    ({"recipe": ["relora_60m"]}, "recipe: must be text"),
    ({"model": "llama_9m"}, "model: give exactly one of"),
    ({"model": None}, "model: give exactly one of"),
    ({"model": {"preset": "llama_9M"}}, "did you mean `llama_9m`?"),
    ({"model": {"preset": "llama-60m"}}, "did you mean `llama_60m`?"),
    ({"model": {"preset": "x" * 9000}}, "model.preset"),
    ({"model": {"pretrained": ""}}, "model.pretrained: must not be empty"),
    ({"model": {"pretrained": "a/b", "init": "maybe"}}, "model.init: must be weights or random"),
    ({"model": {"preset": "llama_9m", "rank": 1}}, "model.rank: unknown field"),
    ({"model": {"config": {"model_type": ["llama"]}}}, "needs a `model_type`"),
    ({"model": {"config": {}}}, "needs a `model_type`"),
    ({"model": {"config": {"model_type": "llama", "note": HALF}}}, "model.config.note"),
    (
        {"model": {"config": {"model_type": "llama", "note": INFINITY}}},
        "model.config.note: must be a finite number",
    ),
    ({"model": {"config": {"model_type": "llama", "note": 2**64}}}, "must be at most"),
    ({"model": {"config": {"model_type": "llama", "note": deep(300)}}}, "32 levels deep"),
    ({"model": {"config": {"model_type": "llama", "note": deep(40)}}}, "32 levels deep"),
    ({"model": {"config": {"model_type": "llama", "note": "x" * 70_000}}}, "65,536 bytes"),
    ({"data": {"train": "/data/x.jsonl"}}, "data.train: must be an object with fields"),
    ({"data": {"train": {}}}, "data.train.uri: required"),
    ({"data": {"train": {"uri": f"/data/{HALF}.jsonl"}}}, "data.train.uri: must be valid"),
    ({"data": {"train": {"uri": "gs://b/x"}}}, "data.train.uri: cannot read"),
    ({"data": {"train": {"uri": "/x", "text_field": HALF}}}, "data.train.text_field"),
    ({"data": {"train": {"uri": "/x"}, "validation": {"fraction": 2}}}, "must be less than 1"),
    ({"data": {"train": {"uri": "/x"}, "sequence_length": 10**9}}, "must be at most 10000000"),
    (training(epochs=3), "training.epochs: unknown field; did you mean `steps`?"),
    (
        training(batch_size=8),
        "training.batch_size: unknown field; did you mean `global_batch_size`?",
    ),
    (training(precision="fp8"), "training.precision: must be bf16 or fp32"),
    (training(steps="twelve"), "training.steps: must be a whole number"),
    ({"data": {"train": "/x.txt"}}, "must be an object with fields such as `uri`"),
    (
        {"data": {"train": {"path": "/x.txt"}}},
        "data.train.path: unknown field; did you mean `uri`?",
    ),
    ({"dataset": {"train": {"uri": "/x"}}}, "dataset: unknown field; did you mean `data`?"),
    ({"data": {"train": {"uri": "https://e.org/x.jsonl"}}}, "use file://, hf://, s3://"),
    (method(r=8), "method.r: unknown field; did you mean `rank`?"),
    (method(lora_alpha=8), "method.lora_alpha: unknown field; did you mean `alpha`?"),
    ({"optimizer": "adamw"}, "optimizer: must be an object with fields such as `name`"),
    ({"optimizer": {"name": "adam"}}, "did you mean `adamw`?"),
    ({"optimizer": {"betas": [0.9, 1.5]}}, "optimizer.betas.1: must be less than 1"),
    ({"schedule": {"warmup": 5}}, "schedule.warmup: unknown field; did you mean `warmup_steps`?"),
    ({"schedule": {"warmup_steps": 12}}, "must be less than the 12 steps of training"),
    ({"model": "llama_9m"}, "model: give exactly one of `preset`"),
    ({"tokenizer": "gpt2"}, "tokenizer: give exactly one of `train`"),
    ({"task": "text"}, "task: must be causal_lm or image_classification"),
    ({"export": {"dtype": "half"}}, "export.dtype: must be bf16, fp16 or fp32"),
    (training(rank=3), "did you mean `method.rank`?"),
    (training(steps=0), "training.steps: must be at least 1"),
    (training(steps=1.5), "training.steps: must be a whole number"),
    (training(steps=[]), "training.steps: must be a whole number"),
    (training(steps=10**10), "training.steps: must be at most"),
    (training(steps=True), "training.steps: must be a whole number; got true"),
    (training(max_grad_norm=True), "training.max_grad_norm: must be a number; got true"),
    ({"version": True}, "version: must be 1; got true"),
    (training(steps=NOT_A_NUMBER), "training.steps: must be a finite number"),
    (training(tokens=1), "give exactly one of"),
    ({"training": {"tokens": 10**400}}, "training.tokens: must be at most"),
    (training(seed=-1), "training.seed: must be at least 0"),
    (training(seed=2**63), "training.seed: must be at most 9223372036854775807"),
    (training(seed=2**64), "training.seed: must be at most"),
    (training(global_batch_size=10**12), "training.global_batch_size: must be at most"),
    (
        training(micro_batch_size=0),
        "micro_batch_size: must be at least 1, or must be auto",
    ),
    (training(max_grad_norm=INFINITY), "training.max_grad_norm: must be a finite number"),
    (training(max_grad_norm="1e999"), "training.max_grad_norm: must be a finite number"),
    (training(spike_z_score=INFINITY), "training.spike_z_score: must be a finite number"),
    (training(compile="perhaps"), "training.compile: must be true or false"),
    ({"training": []}, "training: must be an object with fields"),
    ({"optimizer": {"lr": 1}}, "optimizer.lr: unknown field; did you mean `learning_rate`?"),
    (
        {"optimizer": {"learning_rate": INFINITY}},
        "optimizer.learning_rate: must be a finite number",
    ),
    ({"optimizer": {"learning_rate": -1}}, "optimizer.learning_rate: must be greater than 0"),
    ({"optimizer": {"eps": INFINITY}}, "optimizer.eps: must be a finite number"),
    ({"optimizer": {"weight_decay": INFINITY}}, "optimizer.weight_decay: must be a finite number"),
    ({"optimizer": {"betas": [0.9]}}, "optimizer.betas"),
    ({"optimizer": {"low_rank_learning_rate": INFINITY}}, "must be a finite number"),
    ({"schedule": {"name": "cosin"}}, "did you mean `cosine`?"),
    ({"checkpoint": {"keep_last": 0}}, "checkpoint.keep_last: must be at least 1"),
    (method(alpha=INFINITY), "method.alpha: must be a finite number"),
    (method(rank="x"), "method.rank: must be a whole number"),
    (method(optimizer_reset="zero"), "method.optimizer_reset: must be an object"),
    (method(target_modules="query"), "method.target_modules: must be all_linear"),
    (method(target_modules=[HALF]), "method.target_modules.0: must be valid Unicode"),
    (method(target_modules=["*"] * 2000), "must have at most 100 items"),
    (method(target_modules=[]), "method.target_modules"),
    ({"method": {"name": "galore", "scale": INFINITY}}, "method.scale: must be a finite number"),
    ({"method": "dora"}, "did you mean `lora`?"),
    ({"method": {"name": "dora"}}, "did you mean `lora`?"),
    ({"tokenizer": {"train": None}}, "tokenizer.train: must be an object with fields"),
    ({"tokenizer": {"train": {"vocab_size": 300}, "size": 1}}, "tokenizer.size: unknown field"),
    ({"tokenizer": {"eos_token_id": -1}}, "tokenizer.eos_token_id: must be at least 0"),
    ({"tokenizer": "gpt2"}, "tokenizer: give exactly one of"),
    (
        {"data": {"train": {"uri": "/x"}, "validation": {"fraction": 0.1, "seed": 1}}},
        "data.validation.seed: unknown field",
    ),
    ({"data": {"train": {"uri": []}}}, "data.train.uri: must not be empty"),
    ({"data": {"train": {"uri": ["/x", 5]}}}, "data.train.uri.1: must be text"),
    ({"data": {"train": []}}, "data.train: must not be empty"),
    ({"data": {"train": ["/x"]}}, "data.train: to read several places as one source, write"),
    ({"data": {"train": [5]}}, "data.train.0: must be an object with fields"),
    ({"data": {"train": [{"uri": "/x"}]}}, "data.train.0.name: required"),
    (mixture({"name": "a b"}), "data.train.0.name: must be letters, digits, - and _"),
    (mixture({"weight": -1}), "data.train.0.weight: must be at least 0"),
    (mixture({"weight": 0}), "data.train: needs a source whose weight is above 0"),
    (mixture({}, {}), "data.train.1.name: is given twice: web"),
    (
        {"data": {"train": {"uri": "/x", "weight": 2}}},
        "data.train: `weight` belongs to a mixture; write a list of sources",
    ),
    (
        {"data": {"train": {"uri": "/x"}, "stages": [{"from_step": 1, "weights": {"web": 1}}]}},
        "data.stages: needs a mixture",
    ),
    (mixture({}, stages={5: {"wbe": 1}}), "did you mean `web`?"),
    (mixture({}, stages={5: {"web": 0}}), "data.stages.0.weights: needs a weight above 0"),
    (mixture({}, stages={5: {"web": 1}, 4: {"web": 1}}), "data.stages.1.from_step: must be above"),
    (mixture({}, stages={10**6: {"web": 1}}), "data.stages.0.from_step: must be less than"),
    (
        {**mixture({}), "evaluation": {"sets": {"web": {"uri": "/y"}}}},
        "evaluation.sets.web: is the name of a source in data.train",
    ),
    ({"evaluation": {"sets": {"a": {"uri": "ftp://x"}}}}, "evaluation.sets.a.uri: cannot read"),
    (
        training(stop_when={"metric": "validation_loss/wiki"}),
        "training.stop_when.metric: no validation set 'wiki'",
    ),
    (
        training(stop_when={"metric": "validation_accuracy"}),
        "training.stop_when.metric: task causal_lm has validation_loss, validation_perplexity",
    ),
    (training(stop_when={"metric": "loss"}), "must be a score such as validation_loss"),
    (training(stop_when={"patience": 0}), "training.stop_when.patience: must be at least 1"),
    ({"export": {"from": "best"}}, "export.from: best needs checkpoint.keep_best"),
    ({"export": {"from": "first"}}, "export.from: must be last or best"),
    (
        {"checkpoint": {"keep_best": {}, "every": 5}, "evaluation": {"every": 7}},
        "checkpoint.keep_best: no checkpoint but the last is evaluated",
    ),
    (
        {"data": {"train": {"uri": "/x"}, "document_mask": True}, "model": {"config": BLOOM}},
        "data.document_mask: models of type bloom are not known to keep documents apart",
    ),
    ({"method": ["relora"]}, "method: must be an object with fields"),
    (method(frozen_dtype="int4"), "method.frozen_dtype: must be fp32, bf16"),
    (method(target_modules=[5]), "method.target_modules.0: must be text"),
    (training(micro_batch_size=None), "must be a whole number, or must be auto"),
    ({"evaluation": {"tokens": 1e30}}, "evaluation.tokens: must be a smaller number"),
    ({"schedule": {"warmup_steps": 100}}, "schedule.warmup_steps: must be less than"),
    ({"tokenizer": {"train": {"vocab_size": 10}}}, "vocab_size: must be at least 257"),
]
# What a spec alone does not show to be wrong: both know it of the model.
OF_THE_MODEL: list[tuple[dict[str, Any], str]] = [
    (llama(hiden_size=64), "did you mean `hidden_size`?"),
    (llama(num_hidden_layers=10**9), "num_hidden_layers must be a whole number from 1 to 1000"),
    (llama(hidden_size="large"), "hidden_size must be a whole number"),
    (llama(hidden_size=10**18), "hidden_size must be a whole number"),
    (llama(mlp_bias=[1]), "mlp_bias must be true or false; got [1]"),
    (llama(attention_bias={"on": 1}), "attention_bias must be true or false"),
    (llama(tie_word_embeddings="maybe"), "tie_word_embeddings must be true or false"),
    (llama(vocab_size=-1), "vocab_size must be a whole number"),
    (llama(num_attention_heads=5), "does not divide over num_attention_heads 5"),
    (llama(num_key_value_heads=3), "does not divide over num_key_value_heads 3"),
    ({**llama(), **method(target_modules=["*.query"])}, "matches no linear layer"),
    ({**llama(), **method(rank=128)}, "over the smaller side"),
    (
        llama(hidden_act="sillu"),
        "model.config.hidden_act: no activation 'sillu'; did you mean `silu`?",
    ),
    (llama(hidden_act=1), "model.config.hidden_act: must be the name of an activation"),
    (llama(rope_scaling={"type": "lineer", "factor": 2}), "did you mean `linear`?"),
    (llama(rope_scaling={"type": "linear"}), "model.config.rope_scaling: rope_type linear needs"),
    (llama(rope_parameters=[]), "model.config.rope_parameters: must be an object"),
    ({"model": {"config": {"model_type": "lama"}}}, "did you mean `llama`?"),
    ({"model": {"config": {"model_type": "bert"}}}, "sees the tokens that it is to predict"),
]
# What is the service's part alone.
OF_THE_SERVICE: list[tuple[dict[str, Any], str]] = [
    ({"data": {"train": {"uri": f"/{'x' * 300}.jsonl"}}}, "there is no file"),
    ({"data": {"train": {"uri": "/missing.jsonl"}}}, "there is no file '/missing.jsonl'"),
    ({"data": {"train": {"uri": "/missing-*.jsonl"}}}, "no file matches '/missing-*.jsonl'"),
    ({"model": {"pretrained": "/missing"}}, "model.pretrained: there is no file or folder"),
    ({"tokenizer": {"pretrained": "/missing"}}, "tokenizer.pretrained: there is no file or"),
    (method(warm_start_from="/missing"), "method.warm_start_from: there is no file or folder"),
    ({"output": "s3://b/x"}, "output: must be an object with fields"),
    ({"output": {"uri": "ftp://x"}}, "output.uri: cannot write to"),
    ({"output": {"uri": "file:///"}}, "output.uri: cannot write to"),
    ({"output": {"uri": "s3://"}}, "output.uri: cannot write to"),
    ({"labels": ["a"]}, "labels: must be an object with fields"),
    ({"trackers": [{"name": "tensorboard"}] * 2}, "trackers.1.name: tensorboard is there"),
    ({"priority": 1000}, "priority: must be at most 100"),
    ({"priority": "high"}, "priority: must be a whole number"),
    ({"labels": {"a b": "c"}}, "labels.a b: must be letters, digits"),
    ({"labels": {"a": HALF}}, "labels.a: must be valid Unicode"),
    ({"resources": {"gpus": True}}, "resources.gpus: must be a whole number; got true"),
    ({"resources": {"gpus": 65}}, "resources.gpus: must be at most 64"),
    ({"retries": {"stalled_after": INFINITY}}, "retries.stalled_after: must be a finite number"),
    ({"trackers": [{"name": "wand"}]}, "did you mean `wandb`?"),
    ({"secrets": {"PATH": "x"}}, "secrets.PATH"),
    ({"data": {"train": {"uri": "/x.docx"}}}, "known formats are"),
    ({"data": {"train": {"uri": "wikitext"}}}, "neither on the Hub nor an absolute path"),
    ({"data": {"train": {"uri": "upload://nope"}}}, "there is no dataset 'nope'"),
    ({"output": {"hub": {"repo": "name"}}}, "output.hub.repo: must be OWNER/NAME"),
    (
        {"resources": {"gpu": 1}},
        "resources.gpu: must name a class of GPU, such as h100; did you mean `gpus`?",
    ),
    ({"resources": 1}, "resources: must be an object with fields such as `gpus`"),
    ({"labels": {"team": 5}}, "labels.team: must be text"),
    ({"webhooks": [{"url": "e.org"}]}, "webhooks.0.url: must be https://host/path"),
    ({"trackers": ["wandb"]}, "trackers.0: must be an object with fields such as `name`"),
    ({"secrets": ["HF_TOKEN"]}, "secrets: must be an object with fields"),
    ({"secrets": {"HF_TOKEN": "none"}}, "secrets.HF_TOKEN: the project has no secret"),
    ({"seed": 1}, "seed: unknown field; did you mean `training.seed`?"),
]
# What the trainer finds in its own way, of what the service can see. It leaves the rest to it.
OF_FILES = {
    "there is no file": "no access to",
    "there is no file '/missing.jsonl'": "no file matches '/missing.jsonl'",
    "no file matches '/missing-*.jsonl'": "no file matches '/missing-*.jsonl'",
    "model.pretrained: there is no file or folder": "model.pretrained: there is no file or folder",
    "tokenizer.pretrained: there is no file or": "the tokenizer '/missing': there is no such",
    "method.warm_start_from: there is no file or folder": "there is no file or folder '/missing'",
    "known formats are": "no file matches '/x.docx'",
    "neither on the Hub nor an absolute path": "wikitext'",
    "there is no dataset 'nope'": "the trainer does not reach 'upload://nope'",
    "seed: unknown field; did you mean `training.seed`?": "did you mean `training.seed`?",
    "labels.a: must be valid Unicode": "labels.a: must be valid Unicode",
}
LEFT_TO_THE_SERVICE = "the train data is too small"  # the file is empty
# The command line and the trainer read a file. What is no JSON is read as YAML, in which Infinity
# and NaN are words, and a path may be relative to the current folder.
IN_A_FILE = {
    "at most 65,536 bytes": "has more than 262,144 bytes",
    "model.config.note: must be a finite number": "llama has no field `note`",
    "training.steps: must be a finite number": "training.steps: must be a whole number",
    "neither on the Hub nor an absolute path": "data.train.uri: cannot read",
}
QUERIES = {  # and what the answer says
    "/v1/jobs?limit=0": "limit: must be at least 1",
    "/v1/jobs?limit=x": "limit: must be a whole number",
    "/v1/jobs?stauts=queued": "stauts: unknown; there are created_after, created_before, cursor",
    "/v1/jobs?status=lost": "status: must be queued, starting, running, paused, succeeded",
    "/v1/jobs?created_after=yesterday": "created_after: write it as 2026-01-31T12:00:00Z",
    "/v1/jobs?label=x": "label: must be KEY=VALUE, such as team=nlp",
    "/v1/sweeps?limit=201": "limit: must be at most 200",
    "/v1/queue?limit=-1": "limit: must be at least 1",
    "/v1/jobs?limit=5.5": "limit: must be a whole number",
    "/v1/jobs?method=LoRA": "did you mean `lora`?",
    "/v1/jobs?created_before=2026-13-01T00:00:00Z": "created_before: must be a time such as 2026",
    "/v1/jobs?sort=name": "sort: unknown; there are created_after, created_before, cursor",
    "/v1/queue?cursor=abc": "cursor: must be the `next` of the page before",
    "/v1/webhooks?job_id=JOB": "job_id: must be the id of a job",
}
COMMANDS = {  # and what the answer says
    "jobs list --status quued": "Did you mean 'queued'?",
    "jobs list --limit 0": "must be at least 1",
    "jobs list --label team": "'team' is not like team=nlp",
    "jobs list --method LoRa": "did you mean `lora`?",
    "jobs get my-first": "`relora jobs list` shows the ids",
    "jobs submit missing.yaml": "cannot read missing.yaml: No such file",
    "recipes show relora-60m": "did you mean `relora_60m`?",
    "presets show llama-9m": "did you mean `llama_9m`?",
    "webhooks create https://e.org/x --secret s --event job.done": "no event 'job.done'",
    "webhooks create https://e.org/x --secret s --event job.suceeded": "`job.succeeded`?",
    "projects create A_B": "must be lowercase letters",
}
FILES = {
    "training: {steps: 1}\ntraining: {steps: 2}": "`training` is written twice, again in line 2",
    "a: [": "neither YAML nor JSON",
    "a: \x07": "neither YAML nor JSON",
    "[" * 2000 + "]" * 2000: "too deep",
    "name: 2026-01-31": "put it in quotes",
    "training: {steps: " + "9" * 5000 + "}": "the number or date in line 1 is not valid",
    '{"training": {"steps": ' + "9" * 5000 + "}}": "the number or date in line 1 is not valid",
    "name: x\nversion: 2026-13-45": "the number or date in line 2 is not valid",
    '{"name": "x",\n"name": "y"}': "`name` is written twice, again in line 2",
    "training: {steps: .inf}": "must be a finite number",
    "just text": "holds no",
}


def without(answer: str) -> None:
    found = LEAKS.search(answer)
    assert found is None, f"{found} in {answer[:500]}"


def problems(response: httpx.Response) -> str:
    return "\n".join(f"{one['path']}: {one['message']}" for one in response.json()["errors"])


def of_time(call: Callable[[], Any]) -> Any:
    """What the call gives, in one of some tries within the time.

    It is that of the processor, on which the server of the test is this process, too. On a busy
    machine it is longer.
    """
    for _ in range(TRIES):
        started = time.process_time()
        answer = call()
        if time.process_time() - started < SECONDS:
            return answer
    pytest.fail(f"took over {SECONDS} s {TRIES} times")


@pytest.mark.parametrize(
    "answer",
    ["GET /v1/presets lists them", "HTTP 422", "LlamaConfig has no x", "torch.nn", "KeyError: 'x'"],
)
def test_words_of_libraries_and_of_the_api_are_found(answer: str) -> None:
    with pytest.raises(AssertionError):
        without(answer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wrong")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    data = folder / "relora"
    data.mkdir()
    settings = Settings(data_dir=data, broker_url="redis://127.0.0.1:9/0")
    migrate(f"sqlite:///{data}/relora.db")
    with closing(open_backends(settings)) as backends, serving(backends) as address:
        yield address


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def spec(folder: Path) -> dict[str, Any]:
    (folder / "text.jsonl").touch()
    return {
        "model": {"preset": "llama_9m"},
        "data": {"train": {"uri": str(folder / "text.jsonl")}, "sequence_length": 32},
        **training(),
    }


def named(case: tuple[dict[str, Any], str]) -> str:
    return re.sub(r"\W+", " ", case[1])[:60]


@pytest.mark.parametrize("case", [*WRONG, *OF_THE_MODEL, *OF_THE_SERVICE], ids=named)
def test_the_service_refuses_a_wrong_spec_at_once_and_says_what_to_change(
    http: httpx.Client, spec: dict[str, Any], case: tuple[dict[str, Any], str]
) -> None:
    changes, reason = case
    body = json.dumps({**spec, **changes})
    kind = {"Content-Type": "application/json"}
    response = of_time(lambda: http.post("/v1/jobs", content=body, headers=kind))
    assert response.status_code == 422
    assert reason in problems(response)
    assert len(response.json()["errors"]) <= 21
    assert len(response.content) < 8000
    without(problems(response))


@pytest.fixture
def relora(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Result]:
    """Runs `relora` after its start: its commands are built, and the certificates are read."""
    monkeypatch.setattr(testing, "_get_command", lambda _: commands())
    environment = {"RELORA_URL": url, "COLUMNS": "200", "SSL_CERT_DIR": str(folder)}
    return lambda arguments: CliRunner().invoke(app, arguments.split(), env=environment)


@cache
def commands() -> Any:
    return get_command(app)


@pytest.mark.parametrize("case", [*WRONG, *OF_THE_MODEL, *OF_THE_SERVICE], ids=named)
def test_the_command_line_shows_the_same_problems(
    relora: Callable[[str], Result],
    folder: Path,
    spec: dict[str, Any],
    case: tuple[dict[str, Any], str],
) -> None:
    changes, reason = case
    file = folder / "spec.json"
    file.write_text(json.dumps({**spec, **changes}))
    told = of_time(lambda: relora(f"jobs submit {file}"))
    assert (told.exit_code, type(told.exception)) == (2, SystemExit)
    assert IN_A_FILE.get(reason, reason) in told.output
    assert len(told.output) < 8000
    without(told.output)


@pytest.fixture(scope="module")
def _trainer() -> None:
    """Import what a trainer imports when it starts."""
    import relora_core.process  # noqa: F401


@pytest.fixture
def train(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, _trainer: None
) -> Iterator[Callable[[Path], tuple[int, str]]]:
    """Runs `python -m relora_core train` with a file. Its exit code, and what it says."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    caplog.set_level(logging.INFO)

    def run(file: Path) -> tuple[int, str]:
        caplog.clear()
        places = ["--workdir", str(tmp_path), "--cache", str(folder / "cache")]
        return main(["train", str(file), *places]), caplog.text

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("case", [*WRONG, *OF_THE_MODEL, *OF_THE_SERVICE], ids=named)
def test_the_trainer_refuses_the_same(
    train: Callable[[Path], tuple[int, str]],
    folder: Path,
    spec: dict[str, Any],
    case: tuple[dict[str, Any], str],
) -> None:
    changes, reason = case
    file = folder / "spec.json"
    file.write_text(json.dumps({**spec, **changes}))
    code, told = of_time(lambda: train(file))
    assert code == (1 if "training failed" in told else 2)
    if case in OF_THE_SERVICE:
        assert OF_FILES.get(reason, LEFT_TO_THE_SERVICE) in told
    else:
        assert IN_A_FILE.get(reason, reason) in told
    assert len(told) < 8000
    without(told)


@pytest.mark.slow
@pytest.mark.parametrize("text", FILES, ids=lambda text: text[:20])
def test_a_file_that_holds_no_spec_says_why(
    folder: Path,
    relora: Callable[[str], Result],
    train: Callable[[Path], tuple[int, str]],
    text: str,
) -> None:
    file = folder / "spec.yaml"
    file.write_text(text)
    code, said = of_time(lambda: train(file))
    told = of_time(lambda: relora(f"jobs submit {file}"))
    assert (code, told.exit_code) == (2, 2)
    for answer in (said, told.output):
        assert FILES[text] in answer
        without(answer)


@pytest.mark.parametrize("path", QUERIES)
def test_a_wrong_query_is_refused_in_the_same_words(http: httpx.Client, path: str) -> None:
    response = of_time(lambda: http.get(path))
    assert response.status_code == 422
    assert QUERIES[path] in problems(response)
    without(response.text)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_command_says_what_to_change(relora: Callable[[str], Result], command: str) -> None:
    told = of_time(lambda: relora(command))
    assert (told.exit_code, type(told.exception)) == (2, SystemExit)
    assert COMMANDS[command] in told.output
    without(told.output)


def test_a_body_that_is_missing_is_said_to_be_needed(http: httpx.Client) -> None:
    response = http.post("/v1/jobs", headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["detail"]) == (
        422,
        "The request needs a body, as JSON.",
    )


def test_a_sweep_of_wrong_specs_stops_at_the_first_problems(
    http: httpx.Client, spec: dict[str, Any]
) -> None:
    base = {**spec, **{f"unknown{n}": 1 for n in range(30)}}
    sweep = {"base": base, "grid": {"training.seed": list(range(200))}}
    response = of_time(lambda: http.post("/v1/sweeps", json=sweep))
    assert response.status_code == 422
    assert len(response.json()["errors"]) <= 21


def test_a_sweep_of_a_large_base_is_refused(http: httpx.Client, spec: dict[str, Any]) -> None:
    base = {**spec, **llama(note=["x" * 1000] * 240)}
    response = of_time(lambda: http.post("/v1/sweeps", json={"base": base, "grid": {"rank": [4]}}))
    assert response.status_code == 422
    assert "65,536 bytes" in response.text
