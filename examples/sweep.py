"""Compare three methods in a sweep over one spec.

relora up                                       # in another terminal
python examples/sweep.py [http://127.0.0.1:8000]
"""

import sys
from pathlib import Path

from jobs.schemas.status import JobStatus
from service.client import Client

TEXT = Path(__file__).parent / "data" / "kjv.jsonl.gz"
BASE = {
    "name": "methods",
    "model": {"preset": "llama_9m"},
    "tokenizer": {"train": {"vocab_size": 4096}},
    "data": {
        "train": {"uri": str(TEXT.resolve())},
        "validation": {"fraction": 0.02},
        "sequence_length": 128,
    },
    "method": {"name": "relora", "rank": 16, "warm_start_steps": 100, "reset_every": 100},
    "training": {"steps": 400, "global_batch_size": 16, "precision": "fp32", "compile": False},
    "evaluation": {"every": 100, "tokens": 30000},
}
GRID = {"method": ["full", "lora", "relora"]}  # each method uses its own fields of the base


def main(url: str) -> int:
    with Client(url) as client:
        sweep = client.sweeps.create({"base": BASE, "grid": GRID})
        for job in sweep.jobs:
            print(f"{job.job_id} {job.changes}: {client.jobs.wait(job.job_id).status}")
        sweep = client.sweeps.get(sweep.id)
    print("method  loss  perplexity  tokens/s")
    for job in sweep.jobs:
        print(job.changes["method"], job.loss, job.validation_perplexity, job.tokens_per_second)
    return 0 if all(job.status is JobStatus.SUCCEEDED for job in sweep.jobs) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))
