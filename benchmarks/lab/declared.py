"""The experiments of the lab: the models, the arms, the rates to try, the seeds, the hypotheses.

All of it is written down before the first run. A run that two experiments have is run once.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.lab.experiments import FACTOR_RATE, Arm, Experiment, Hypothesis, Model, Rates

LLAMA = {"model_type": "llama", "num_attention_heads": 4}
MODEL_S = Model(
    name="S",
    config=LLAMA | {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 4},
    vocabulary=1024,
)
MODEL_M = Model(
    name="M",
    config=LLAMA | {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 6},
    vocabulary=2048,
)
S_STEPS = 3200  # 6.6M tokens, 20 for each parameter
FULL_RATES = Rates((2e-3, 4e-3, 8e-3, 16e-3))
FACTOR_RATES = Rates((2, 4, 8, 16), field=FACTOR_RATE, base="full")
FULL = Arm("full", "`full`: every weight", {"name": "full"}, FULL_RATES)


def control(rank: int) -> Arm:
    return Arm(
        f"control_{rank}",
        f"`control`: a full-rank model of as many parameters as rank {rank} trains",
        {"name": "control", "rank": rank},
        FULL_RATES,
    )


def lora(rank: int, name: str = "lora", *, warm_start: float = 0.1) -> Arm:
    return Arm(
        f"{name}_{rank}",
        f"`lora`, rank {rank}, a warm start of {warm_start:.0%}: one update",
        {"name": "lora", "rank": rank, "alpha": rank},
        FACTOR_RATES,
        warm_start=warm_start,
    )


def relora(
    rank: int,
    name: str = "relora",
    title: str = "a restart each 10%",
    method: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Arm:
    """Return an arm of ReLoRA: `method` and `fields` of the arm are what is not the default."""
    fields = {"rates": FACTOR_RATES, "warm_start": 0.1, "cycle": 0.1, **fields}
    return Arm(
        f"{name}_{rank}",
        f"`relora`, rank {rank}, a warm start of {fields['warm_start']:.0%}: {title}",
        {"name": "relora", "rank": rank, "alpha": rank, **(method or {})},
        **fields,
    )


def screened(rank: int) -> Iterator[Arm]:
    """Yield an arm for each option of ReLoRA. A new option is one more line."""
    keep, rotate = {"optimizer_reset": {"mode": "keep"}}, {"optimizer_reset": {"mode": "rotate"}}
    frozen = {"factor_init": "gradient", "train_a": False}
    auto: dict[str, Any] = {"rates": FULL_RATES, "optimizer": {"factor_learning_rate": "auto"}}
    yield relora(rank, "auto", "factor_learning_rate auto", **auto)
    yield relora(rank, "orthogonal", "orthogonal A", {"factor_init": "orthogonal"})
    yield relora(rank, "gradient", "A from the gradient", {"factor_init": "gradient"})
    yield relora(rank, "frozen", "A from the gradient, frozen", frozen)
    yield relora(rank, "rotate", "the same, moments rotated", frozen | rotate)
    yield relora(rank, "keep", "moments kept", keep)
    yield relora(
        rank, "growth", "cycles from 5% on, each 1.2 times", {"reset_growth": 1.2}, cycle=0.05
    )


def ablated(rank: int) -> Iterator[Arm]:
    """Yield the rows of the paper's table 6: warm start, restarts, reset, and re-warming."""
    keep = {"optimizer_reset": {"mode": "keep"}}
    still: dict[str, Any] = {"schedule": {"restart_warmup_steps": 0}}
    yield lora(rank, "cold_lora", warm_start=0)
    yield relora(rank, "restarts", "neither reset nor re-warming", keep, warm_start=0, **still)
    yield relora(rank, "reset", "no re-warming", warm_start=0, **still)
    yield relora(rank, "rewarm", "no reset", keep, warm_start=0)
    yield relora(rank, "cold_relora", warm_start=0)
    yield lora(rank)
    yield relora(rank)


def with_restarts(rank: int) -> Iterator[Arm]:
    """Yield arms from no restart to one each 100 of 3,200 steps."""
    yield lora(rank)
    yield relora(rank, "cycle_2", "1 restart", cycle=1 / 2)
    yield relora(rank, "cycle_4", "3 restarts", cycle=1 / 4)
    yield relora(rank)
    yield relora(rank, "cycle_20", "17 restarts", cycle=1 / 20)
    yield relora(rank, "cycle_32", "28 restarts", cycle=1 / 32)


_DECLARED = (
    Experiment(
        name="s",
        title="the methods of the paper on the model S",
        model=MODEL_S,
        steps=S_STEPS,
        arms=(FULL, control(4), lora(4), relora(4), control(16), lora(16), relora(16)),
        seeds=(1, 2, 3, 4, 5),
        hypotheses=(
            Hypothesis("relora_4", "lora_4", "lower"),
            Hypothesis("relora_16", "lora_16", "lower"),
            Hypothesis("relora_4", "full", "equivalent"),
            Hypothesis("relora_16", "full", "equivalent"),
        ),
    ),
    Experiment(
        name="options",
        title="the options of ReLoRA, screened with the tuning seed",
        model=MODEL_S,
        steps=S_STEPS,
        arms=(FULL, lora(16), relora(16), *screened(16)),
        seeds=(),
    ),
    Experiment(
        name="ablations",
        title="the parts of ReLoRA, as in table 6 of the paper",
        model=MODEL_S,
        steps=S_STEPS,
        arms=(FULL, *ablated(16)),
        seeds=(),
    ),
    Experiment(
        name="restarts",
        title="the number of restarts and the length of a cycle",
        model=MODEL_S,
        steps=S_STEPS,
        arms=(FULL, *with_restarts(4)),
        seeds=(),
    ),
    Experiment(
        name="m",
        title="a larger model",
        model=MODEL_M,
        steps=4300,  # 8.8M tokens: less than the text has, and 5 for each parameter
        arms=(FULL, lora(32), relora(32)),
        seeds=(1, 2),
        hypotheses=(
            Hypothesis("relora_32", "lora_32", "lower"),
            Hypothesis("relora_32", "full", "equivalent"),
        ),
        tuning_share=0.125,
        growths=1,
    ),
    Experiment(
        name="quick",
        title="a trial of the lab itself",
        text="bible",
        model=MODEL_S,
        steps=60,
        arms=(
            Arm(FULL.name, FULL.title, FULL.method, Rates((4e-3, 8e-3))),
            relora(
                16,
                title="a restart each 25%",
                warm_start=0.25,
                cycle=0.25,
                rates=Rates((2, 4), field=FACTOR_RATE, base="full"),
            ),
        ),
        seeds=(1, 2),
        hypotheses=(Hypothesis("relora_16", "full", "equivalent"),),
        tuning_share=0.5,
        warmup_steps=6,
        restart_warmup_steps=2,
        evaluations=1,
        evaluation_tokens=32_768,
        growths=0,
    ),
)
EXPERIMENTS = {experiment.name: experiment for experiment in _DECLARED}
QUICK = "quick"
BUDGET_HOURS = 12  # of two cores, for all but the quick one
