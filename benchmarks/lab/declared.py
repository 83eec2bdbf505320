"""The experiments of the lab: the models, the arms, the rates to try, the seeds, the hypotheses.

All of it is written down before the first run. A run that two experiments have is run once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
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
MODEL_35M = Model(
    name="35M",
    config=LLAMA
    | {
        "num_attention_heads": 8,
        "hidden_size": 384,
        "intermediate_size": 1024,
        "num_hidden_layers": 6,
    },
    vocabulary=8192,
    sequence_length=256,
    sequences=256,
)
S_STEPS = 3200  # 6.6M tokens, 20 for each parameter
FULL_RATES = Rates((2e-3, 4e-3, 8e-3, 16e-3))
# In a first tuning, twice full rank's best was the lowest rate and the best one, for both ranks.
FACTOR_RATES = Rates((0.5, 1, 2, 4), field=FACTOR_RATE, base="full")
FEW_RATES = Rates((4e-3, 8e-3))  # where many arms are screened
FEW_FACTOR_RATES = Rates((1, 2), field=FACTOR_RATE, base="full")
FEW_FACTOR_RATES_OF_SMALL_RANKS = Rates((2, 4), field=FACTOR_RATE, base="full")


def full(rates: Rates = FULL_RATES) -> Arm:
    return Arm("full", "`full`: every weight", {"name": "full"}, rates)


def peer(name: str, rank: int) -> Arm:
    """Return an arm of a method that projects gradients; a step moves W about as Adam's does."""
    return Arm(
        f"{name}_{rank}",
        f"`{name}`, rank {rank}, scale auto",
        {"name": name, "rank": rank, "scale": "auto"},
        FULL_RATES,
    )


def lora(
    rank: int, name: str = "lora", *, warm_start: float = 0.1, rates: Rates = FACTOR_RATES
) -> Arm:
    return Arm(
        f"{name}_{rank}",
        f"`lora`, rank {rank}, a warm start of {warm_start:.0%}: one update",
        {"name": "lora", "rank": rank, "alpha": rank},
        rates,
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

    def option(name: str, title: str, method: Mapping[str, Any], **fields: Any) -> Arm:
        return relora(rank, name, title, method, **{"rates": FEW_FACTOR_RATES, **fields})

    keep, rotate = {"optimizer_reset": {"mode": "keep"}}, {"optimizer_reset": {"mode": "rotate"}}
    frozen = {"factor_init": "gradient", "train_a": False}
    auto: dict[str, Any] = {"rates": FEW_RATES, "optimizer": {"factor_learning_rate": "auto"}}
    yield option("relora", "a restart each 10%", {})
    yield option("auto_rate", "factor_learning_rate auto", {}, **auto)
    yield option("orthogonal", "orthogonal A", {"factor_init": "orthogonal"})
    yield option("gradient", "A from the gradient", {"factor_init": "gradient"})
    yield option("frozen", "A from the gradient, frozen", frozen)
    yield option("rotate", "the same, moments rotated", frozen | rotate)
    yield option("keep", "moments kept", keep)
    yield option("growth", "cycles from 5% on, each 1.2 times", {"reset_growth": 1.2}, cycle=0.05)
    yield option("half", "half of the directions kept", {"reset": "half"})
    yield option("rolling", "one component after the other, each in 10%", {"reset": "rolling"})
    yield option("auto_cycle", "the run decides when to restart", {"reset_every": "auto"})
    yield option("warm_galore", "GaLore in the warm start", {"warm_start": "galore"})
    yield option("warm_apollo", "APOLLO in the warm start", {"warm_start": "apollo"})


def ablated(rank: int) -> Iterator[Arm]:
    """Yield the rows of the paper's table 6: warm start, restarts, reset, and re-warming."""
    keep = {"optimizer_reset": {"mode": "keep"}}
    cold: dict[str, Any] = {"warm_start": 0, "rates": FEW_FACTOR_RATES}
    still: dict[str, Any] = {"schedule": {"restart_warmup_steps": 0}}
    yield lora(rank, "cold_lora", **cold)
    yield relora(rank, "restarts", "neither reset nor re-warming", keep, **cold, **still)
    yield relora(rank, "reset", "no re-warming", **cold, **still)
    yield relora(rank, "rewarm", "no reset", keep, **cold)
    yield relora(rank, "cold_relora", **cold)
    yield lora(rank, rates=FEW_FACTOR_RATES)
    yield relora(rank, rates=FEW_FACTOR_RATES)


def with_restarts(rank: int) -> Iterator[Arm]:
    """Yield arms from no restart to one each 100 of 3,200 steps."""

    def restarts(name: str, title: str, cycle: float) -> Arm:
        return relora(rank, name, title, rates=rates, cycle=cycle)

    rates = FEW_FACTOR_RATES_OF_SMALL_RANKS
    yield lora(rank, rates=rates)
    yield restarts("cycle_2", "1 restart", 1 / 2)
    yield restarts("cycle_4", "3 restarts", 1 / 4)
    yield restarts("relora", "8 restarts", 1 / 10)
    yield restarts("cycle_20", "17 restarts", 1 / 20)
    yield restarts("cycle_32", "28 restarts", 1 / 32)


def _with_the_same_rate() -> Iterator[Arm]:
    """Yield arms that need no tuning: the rate of the factors follows from the other rate."""
    rate = Rates((2e-3,))
    auto: dict[str, Any] = {"rates": rate, "optimizer": {"factor_learning_rate": "auto"}}
    yield full(rate)
    yield replace(lora(96, rates=rate), optimizer=auto["optimizer"])
    yield relora(96, title="3 restarts", cycle=1 / 4, **auto)
    yield relora(
        96,
        "gradient",
        "3 restarts, A from the gradient",
        {"factor_init": "gradient"},
        cycle=1 / 4,
        **auto,
    )


_DECLARED = (
    Experiment(
        name="s",
        title="the methods of the paper on the model S",
        model=MODEL_S,
        steps=S_STEPS,
        arms=(full(), lora(4), relora(4), lora(16), relora(16)),
        seeds=(1, 2, 3, 4, 5),
        hypotheses=(
            Hypothesis("relora_4", "lora_4", "lower"),
            Hypothesis("relora_16", "lora_16", "lower"),
            Hypothesis("relora_4", "full", "equivalent"),
            Hypothesis("relora_16", "full", "equivalent"),
        ),
    ),
    Experiment(
        name="restarts",
        title="the number of restarts and the length of a cycle",
        model=MODEL_S,
        steps=S_STEPS,
        arms=(full(FEW_RATES), *with_restarts(4)),
        seeds=(),
        growths=1,
    ),
    Experiment(
        name="options",
        title="the options of ReLoRA, screened with the tuning seed",
        model=MODEL_S,
        steps=S_STEPS,
        arms=(full(FEW_RATES), lora(16, rates=FEW_FACTOR_RATES), *screened(16)),
        seeds=(),
        growths=1,
    ),
    Experiment(
        name="ablations",
        title="the parts of ReLoRA, as in table 6 of the paper",
        model=MODEL_S,
        steps=S_STEPS,
        arms=(full(FEW_RATES), *ablated(16)),
        seeds=(),
        growths=1,
    ),
    Experiment(
        name="peers",
        title="other methods of little memory, and Muon",
        model=MODEL_S,
        steps=S_STEPS,
        arms=(
            full(),
            Arm(
                "muon",
                "`full` with Muon",
                {"name": "full"},
                FULL_RATES,
                optimizer={"name": "muon"},
            ),
            *(peer(name, 16) for name in ("galore", "fira", "apollo")),
            relora(16),
        ),
        seeds=(),
        growths=1,
    ),
    Experiment(
        name="m",
        title="a larger model",
        model=MODEL_M,
        steps=4300,  # 8.8M tokens: less than the text has, and 5 for each parameter
        arms=(
            full(FEW_RATES),
            lora(32, rates=FEW_FACTOR_RATES),
            relora(32, rates=FEW_FACTOR_RATES),
        ),
        seeds=(1, 2),
        hypotheses=(
            Hypothesis("relora_32", "lora_32", "lower"),
            Hypothesis("relora_32", "full", "equivalent"),
        ),
        tuning_share=0.125,
        growths=1,
    ),
    Experiment(
        name="gpu",
        title="a model of 35M parameters, for minutes of one GPU",
        model=MODEL_35M,
        steps=760,  # 50M tokens, about three epochs of the text
        arms=tuple(_with_the_same_rate()),
        seeds=(1, 2),
        hypotheses=(Hypothesis("relora_96", "lora_96", "lower"),),
        precision="bf16",
        compile=True,
        warmup_steps=40,
        growths=0,
    ),
    Experiment(
        name="quick",
        title="a trial of the lab itself",
        text="bible",
        model=MODEL_S,
        steps=60,
        arms=(
            full(FEW_RATES),
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
GPU = "gpu"
BUDGET_HOURS = 12  # of two cores, for all but these two
