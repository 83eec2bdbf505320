"""Results that look like those of runs, with the losses that a test chooses."""

from benchmarks.lab.experiments import Arm, Experiment, Hypothesis, Model, Rates, Run
from benchmarks.lab.records import Evaluation, Ranks, Record, spec_hash
from benchmarks.machine import Machine

MACHINE = Machine(
    cpu="a CPU",
    flags=[],
    cores=2,
    threads=1,
    memory_gib=8,
    gpu=None,
    python="3.11",
    torch="2",
    transformers="5",
    commit="abc",
    load_average=0,
)
EXPERIMENT = Experiment(
    name="tiny",
    title="made up",
    model=Model(
        "T",
        {
            "model_type": "llama",
            "hidden_size": 8,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        },
        vocabulary=300,
    ),
    steps=100,
    arms=(
        Arm("full", "full rank", {"name": "full"}, Rates((1.0, 2.0))),
        Arm(
            "relora",
            "restarts",
            {"name": "relora", "rank": 2, "alpha": 2},
            Rates((1, 2), field="optimizer.factor_learning_rate", base="full"),
            warm_start=0.1,
            cycle=0.3,
        ),
    ),
    seeds=(1, 2),
    warmup_steps=10,
    restart_warmup_steps=2,
    hypotheses=(Hypothesis("relora", "full", "lower"), Hypothesis("relora", "full", "equivalent")),
)


TEXT = "f" * 64


def record(
    run: Run, loss: float | None, *, text: str = TEXT, experiment: Experiment = EXPERIMENT
) -> Record:
    """Return the result of a run with this last loss; None: it diverged."""
    return Record(
        run=run,
        spec_sha256=spec_hash(experiment, run),
        text_sha256=text,
        validation_bytes=1000,
        validation_tokens=500,
        machine=MACHINE,
        diverged=loss is None,
        evaluations=[
            Evaluation(step=0, loss=7.0, tokens=400),
            *([Evaluation(step=100, loss=loss, tokens=400)] if loss is not None else []),
        ],
        ranks=[
            Ranks(
                step=100,
                restart=2,
                effective_rank=5.0,
                stable_rank=2.0,
                condition_number=40.0,
                weight_effective_rank=30.0,
                weight_condition_number=None,
            )
        ],
        trained_parameters=1000,
        tokens=100 * 2048,
        executed_flops=1e12,
        seconds=10.0,
        tokens_per_second=1000.0,
        peak_memory_bytes=2**20,
    )
