"""What the estimate says, against what a step and a run really take."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch._functorch._aot_autograd.utils import make_boxed_func
from torch.fx import GraphModule
from transformers import PreTrainedModel

from relora_core.estimate import estimate
from relora_core.estimate.estimates import PhaseEstimate
from relora_core.events import AnyTrainEvent, PhaseStarted, StepFinished
from relora_core.lowrank.frozen import integers
from relora_core.lowrank.inject import frozen_parameters, inject, low_rank_layers
from relora_core.optim.optimizers import build_optimizer
from relora_core.spec import FrozenDtype, LoraMethod, MuonOptimizer, TrainingSpec, TrainSpec
from relora_core.tasks.next_token import next_token_objective
from relora_core.training.train import train
from tests.relora_core.conftest import MakeModel, MakeSpec
from tests.relora_core.estimate.live_memory import LiveMemory, bytes_of, saved_for_backward

VOCABULARY = 4096
SIZE = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
LLAMA = {"model_type": "llama", **SIZE, "intermediate_size": 344}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "llama_with_grouped_queries": {**LLAMA, "num_key_value_heads": 1},
    "mistral": {**LLAMA, "model_type": "mistral", "num_key_value_heads": 2},
    "qwen2": {**LLAMA, "model_type": "qwen2", "num_key_value_heads": 2},
    "gpt_neox": {"model_type": "gpt_neox", **SIZE, "intermediate_size": 512},
    "gpt_neox_sequential": {
        "model_type": "gpt_neox",
        **SIZE,
        "intermediate_size": 512,
        "use_parallel_residual": False,
    },
    "gpt2": {
        "model_type": "gpt2",
        **SIZE,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    },
    "opt": {"model_type": "opt", **SIZE, "ffn_dim": 512, "dropout": 0.0},
    "bloom": {"model_type": "bloom", **SIZE},
}
LENGTH, SEQUENCES = 32, 4


def spec_of(
    config: dict[str, Any], *, frozen_dtype: FrozenDtype = "bf16", **training: Any
) -> TrainSpec:
    """A low-rank run from its first step on."""
    return TrainSpec.model_validate(
        {
            "model": {"config": config},
            "tokenizer": {"train": {"vocab_size": VOCABULARY}},
            "data": {"train": {"uri": "unread.txt"}, "sequence_length": LENGTH},
            "method": {"name": "lora", "rank": 16, "frozen_dtype": frozen_dtype},
            "training": {
                "steps": 4,
                "global_batch_size": SEQUENCES,
                "micro_batch_size": SEQUENCES,
                "compile": False,
                **training,
            },
        }
    )


def phases_of(spec: TrainSpec) -> tuple[PhaseEstimate, PhaseEstimate]:
    """Low rank and full rank; on a GPU that multiplies integers alone."""
    result = estimate(spec, gpu="a100_80gb")
    return result.run.phases[-1], result.full_rank.phases[-1]


def forward(model: PreTrainedModel, training: TrainingSpec) -> Tensor:
    tokens = torch.randint(0, VOCABULARY, (SEQUENCES, LENGTH + 1))
    model.config.use_cache = False
    objective = next_token_objective(model, compiled=training.compile)
    with torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bf16"):
        return objective(tokens[:, :-1], tokens[:, 1:])


def partitioned(graph: GraphModule, inputs: Sequence[Any]) -> Any:
    """Compile as inductor does, but for the C++ code: what is kept has been decided before it."""
    from torch._inductor.compile_fx import compile_fx  # imported late: it takes seconds

    def run_as_it_is(part: GraphModule, *_: Any, **__: Any) -> Any:
        return make_boxed_func(part.forward)

    return compile_fx(graph, inputs, inner_compile=run_as_it_is)


def make_low_rank(model: PreTrainedModel, spec: TrainSpec) -> None:
    assert isinstance(spec.method, LoraMethod)
    inject(model, spec.method)
    for name, layer in low_rank_layers(model):
        layer.reinitialize(seed=0, restart=0, name=name)
        layer.frozen.prepare()


def check_step(
    model: PreTrainedModel, spec: TrainSpec, phase: PhaseEstimate, *, within: float = 0.02
) -> None:
    """Parameters to the byte, what autograd keeps to a share."""
    memory = phase.memory
    trained = [p for p in model.parameters() if p.requires_grad]
    targets = [layer.frozen for _, layer in low_rank_layers(model)]
    stored = {id(p): p for frozen in targets for p in frozen.parameters()}
    prepared = [frozen.prepared for frozen in targets if frozen.prepared is not None]
    there = [*model.parameters(), *prepared]
    loss, kept = saved_for_backward(lambda: forward(model, spec.training), there)
    loss.backward()
    optimizer = build_optimizer(model, spec.optimizer)
    optimizer.step()
    moments = [t for p in trained for t in optimizer.state[p].values() if t.ndim > 0]
    assert phase.trainable_parameters == sum(p.numel() for p in trained)
    assert memory.weights == bytes_of(p for p in model.parameters() if id(p) not in stored)
    assert memory.frozen == bytes_of([*stored.values(), *prepared])
    assert memory.residual == sum(f.residual.nbytes for f in targets if f.residual is not None)
    assert memory.gradients == bytes_of(p.grad for p in trained)
    assert memory.optimizer == bytes_of(moments)
    of_the_head = 4 * model.get_output_embeddings().weight.numel()  # its gradient is known already
    assert memory.activations + memory.weight_copies + of_the_head == pytest.approx(
        kept, rel=within
    )


def test_an_a_that_is_not_trained_costs_its_weights_alone(make_model: MakeModel) -> None:
    spec = spec_of(LLAMA)
    fixed = spec.model_copy(update={"method": spec.method.model_copy(update={"train_a": False})})
    [low, _], [trained, _] = phases_of(fixed), phases_of(spec)
    model = make_model(**LLAMA, vocab_size=VOCABULARY)
    make_low_rank(model, fixed)
    a = sum(layer.lora_a.numel() for _, layer in low_rank_layers(model))
    assert low.trainable_parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert low.frozen_parameters == frozen_parameters(model)
    assert low.memory.weights == trained.memory.weights
    assert low.memory.gradients == trained.memory.gradients - 4 * a
    assert low.memory.optimizer == trained.memory.optimizer - 8 * a


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_muon_has_one_moment_for_the_weights_of_the_blocks(
    family: str, make_model: MakeModel
) -> None:
    spec = spec_of(CONFIGS[family])
    spec = spec.model_copy(update={"optimizer": MuonOptimizer(name="muon")})
    low, full = phases_of(spec)
    check_step(make_model(**CONFIGS[family], vocab_size=VOCABULARY), spec, full)
    model = make_model(**CONFIGS[family], vocab_size=VOCABULARY)
    make_low_rank(model, spec)
    check_step(model, spec, low)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_each_part_of_a_step_is_as_estimated(
    config: dict[str, Any], precision: str, make_model: MakeModel
) -> None:
    spec = spec_of(config, precision=precision)
    low, full = phases_of(spec)
    check_step(make_model(**config, vocab_size=VOCABULARY), spec, full)
    model = make_model(**config, vocab_size=VOCABULARY)
    make_low_rank(model, spec)
    check_step(model, spec, low)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("frozen_dtype", get_args(FrozenDtype))
def test_frozen_weights_of_every_type_are_as_estimated(
    frozen_dtype: FrozenDtype,
    precision: str,
    make_model: MakeModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("has_int8_matmul", "is_gpu"):
        monkeypatch.setattr(integers, name, lambda _: True)
    spec = spec_of(LLAMA, frozen_dtype=frozen_dtype, precision=precision)
    model = make_model(**LLAMA, vocab_size=VOCABULARY)
    make_low_rank(model, spec)
    check_step(model, spec, phases_of(spec)[0])


@pytest.mark.slow
@pytest.mark.filterwarnings(  # torch's own compiler
    "ignore:.*script_method:DeprecationWarning",
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning",
)
@pytest.mark.parametrize("family", ["llama_with_grouped_queries", "gpt2"])
def test_a_compiled_model_keeps_what_is_estimated(family: str, make_model: MakeModel) -> None:
    config = {**CONFIGS[family], "num_hidden_layers": 2}
    model = make_model(**config, vocab_size=VOCABULARY)
    torch.compiler.reset()
    model.base_model.compile(backend=partitioned)
    spec = spec_of(config, precision="bf16", compile=True)
    check_step(model, spec, phases_of(spec)[1], within=0.05)


CHECKPOINTING = {"gradient_checkpointing": "full"}
SELECTIVE = {"gradient_checkpointing": "selective"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("warm_start", "precision", "micro_batch_size", "training"),
    [
        ("full", "fp32", 8, {}),
        ("full", "bf16", 8, {}),
        ("full", "bf16", 4, {}),
        ("full", "bf16", 8, CHECKPOINTING),
        ("full", "fp32", 4, CHECKPOINTING),
        ("full", "bf16", 8, SELECTIVE),
        ("full", "fp32", 8, SELECTIVE),
        ("galore", "fp32", 4, CHECKPOINTING),
        ("galore", "bf16", 4, {}),
        ("apollo", "fp32", 4, CHECKPOINTING),
    ],
)
@pytest.mark.integration
def test_the_peak_of_a_real_run_is_as_estimated_in_each_phase(
    warm_start: str,
    precision: str,
    micro_batch_size: int,
    training: dict[str, Any],
    make_spec: MakeSpec,
    tmp_path: Path,
    cache: Path,
) -> None:
    config = {**LLAMA, "num_hidden_layers": 2}
    spec = make_spec(
        model={"config": config},
        tokenizer={"train": {"vocab_size": 1024}},
        data={"sequence_length": 32},
        method={
            "name": "relora",
            "rank": 16,
            "warm_start": warm_start,
            "warm_start_steps": 2,
            "reset_every": 50,
        },
        training={
            "steps": 4,
            "global_batch_size": 8,
            "log_every": 1,
            "precision": precision,
            "micro_batch_size": micro_batch_size,
            **training,
        },
        evaluation={"every": None, "tokens": 32},
    )
    meter, measured = LiveMemory(), {}

    def emit(event: AnyTrainEvent) -> None:
        if isinstance(event, PhaseStarted):
            meter.peak = meter.now
        if isinstance(event, StepFinished):
            measured[event.phase] = meter.peak

    with meter:
        train(spec, tmp_path, emit, lambda: False, cache=cache)
    for phase in estimate(spec).run.phases:
        assert phase.memory.peak == pytest.approx(measured[phase.phase], rel=0.1)
