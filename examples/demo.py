"""A demo of relora on this machine: start the service, train a model with ReLoRA and use it.

    python examples/demo.py

The exit code is 0 if the perplexity fell to a tenth and the run restarted at least twice.
"""

import math
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus
from relora_core.events import Evaluated, LearningRateRestarted, Merged, OptimizerReset
from service.cli.follow import follow
from service.client import Client
from service.local.process import NotStarted, running

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "examples" / "demo.yaml"
PROMPTS = ("In the beginning", "And the king said", "Blessed are")

console = Console(highlight=False)


def main() -> int:
    data_dir = Path(os.environ.get("DEMO_DATA_DIR", ".demo")).resolve()
    try:
        step("Start the service", "relora up")
        with running(data_dir) as url, Client(url) as client:
            return 0 if demo(client, url, data_dir) else 1
    except NotStarted as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130


def demo(client: Client, url: str, data_dir: Path) -> bool:
    """Train, show the events, download the model and use it. Return whether it worked."""
    jobs = f"{url}/v1/jobs"
    spec = read_spec()
    step("Submit the job", f"curl -X POST {jobs} -H 'Content-Type: application/json' -d @spec.json")
    submitted = client.jobs.create(spec)
    console.print(Text.assemble("job ", (submitted.id, "bold"), f" is {submitted.status}"))

    step("Watch it", f"curl -N -H 'Accept: text/event-stream' {jobs}/{submitted.id}/events")
    job = follow(client, submitted.id, console, Console(stderr=True, highlight=False))
    if job.status is not JobStatus.SUCCEEDED:
        console.print(f"the job {job.status}; the logs are in {data_dir / 'logs'}", style="red")
        return False

    step("Its restarts", f"curl '{jobs}/{job.id}/events?type=train.merge'")
    restarts = show_restarts(client, job)

    step("Download the model", f"curl -fLO {jobs}/{job.id}/artifacts/final/model.safetensors")
    folder = data_dir / "models" / job.id
    files = client.jobs.download(job.id, folder, prefix="final/")
    console.print(f"{len(files)} files, their sha256 verified, in {folder / 'final'}")

    step("Use it", f"AutoModelForCausalLM.from_pretrained({str(folder / 'final')!r})")
    write_a_little(folder / "final")
    before, reported = reported_perplexities(client, job)
    after = measured_perplexity(folder / "final", spec, data_dir / "cache")
    console.print(
        Text.assemble("\nvalidation perplexity  ", (f"{before:,.1f}", "bold"), " before, ")
        .append(f"{after:,.1f}", "bold green")
        .append(f" after {restarts} restarts, measured on the downloaded model")
        .append(f" (the job reported {reported:,.1f})", "dim")
    )
    return after < before / 10 and restarts >= 2


def read_spec() -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load(SPEC.read_text())
    source = spec["data"]["train"]
    source["uri"] = str(ROOT / source["uri"])
    return spec


def show_restarts(client: Client, job: Job) -> int:
    events = list(client.jobs.events(job.id))
    merges = {event.restart: event for event in events if isinstance(event, Merged)}
    resets = {event.restart: event for event in events if isinstance(event, OptimizerReset)}
    rates = {event.restart: event for event in events if isinstance(event, LearningRateRestarted)}
    table = Table(
        "restart", "step", "layers", "|BA|", "|W|", "optimizer", "learning rate", box=None
    )
    for number, merge in sorted(merges.items()):
        rate = rates[number]
        table.add_row(
            str(number),
            str(merge.step),
            str(merge.layers),
            f"{merge.update_norm:.2f}",
            f"{merge.weight_norm:.1f}",
            f"{resets[number].kept:.0%} kept",
            f"{rate.learning_rate_before:.1e} → {rate.learning_rate:.1e} "
            f"→ {rate.learning_rate_target:.1e}",
        )
    console.print(table)
    return len(merges)


def reported_perplexities(client: Client, job: Job) -> tuple[float, float]:
    """Return the validation perplexities before the first step and at the end."""
    evaluations = [event for event in client.jobs.events(job.id) if isinstance(event, Evaluated)]
    if not evaluations or evaluations[0].step != 0:
        return math.inf, math.inf
    perplexities = [event.perplexity or math.inf for event in evaluations]
    return perplexities[0], perplexities[-1]


def measured_perplexity(folder: Path, spec: dict[str, Any], cache: Path) -> float:
    """Return the perplexity of the downloaded model on the same cached validation text."""
    import torch
    from transformers import AutoModelForCausalLM

    from relora_core.distributed.world import World
    from relora_core.spec import TrainSpec
    from relora_core.tasks import build_task
    from relora_core.training.evaluate import evaluate

    train_spec = TrainSpec.model_validate(spec)
    task = build_task(train_spec, cache=cache, emit=lambda _: None)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    scored, _ = evaluate(
        task,
        partial(task.measure, task.objective(model)),
        World(rank=0, size=1, device=torch.device("cpu")),
        step=train_spec.total_steps,
        batch_size=8,
    )
    return scored.perplexity or math.inf


def write_a_little(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    for prompt in PROMPTS:
        tokens = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.inference_mode():
            written = model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=40,
                do_sample=True,
                temperature=0.7,
                top_k=50,
                pad_token_id=tokenizer.eos_token_id or 0,
            )
        text = str(tokenizer.decode(written[0], skip_special_tokens=True))
        console.print(Text.assemble((prompt, "bold"), text.removeprefix(prompt)))


def step(title: str, command: str) -> None:
    console.print()
    console.rule(Text(title, style="bold cyan"), align="left")
    console.print(Text(f"$ {command}", style="dim"), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
