"""Continue the training of a model of the Hugging Face Hub in low rank, on your own text.

    relora up                                            # in another terminal
    python examples/warm_start.py [http://127.0.0.1:8000 [EleutherAI/pythia-70m]]

In place of a name, you can give a folder with a model and its tokenizer that the worker can read.
"""

import sys
from pathlib import Path

from jobs.schemas.status import JobStatus
from service.client import Client

TEXT = Path(__file__).parent / "data" / "kjv.jsonl.gz"


def spec(model: str) -> dict[str, object]:
    return {
        "name": "warm-start",
        "model": {"pretrained": model, "init": "weights"},  # also takes its tokenizer
        "data": {"train": {"uri": str(TEXT.resolve())}, "sequence_length": 128},
        # The weights are already trained, so the run needs no full-rank steps.
        "method": {"name": "relora", "rank": 16, "warm_start_steps": 0, "reset_every": 100},
        "training": {"steps": 400, "global_batch_size": 16, "precision": "fp32", "compile": False},
    }


def main(url: str, model: str) -> int:
    with Client(url) as client:
        job = client.jobs.create(spec(model))
        for event in client.jobs.stream(job.id):
            print(event)
        return 0 if client.jobs.get(job.id).status is JobStatus.SUCCEEDED else 1


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    sys.exit(main(given.get(1, "http://127.0.0.1:8000"), given.get(2, "EleutherAI/pythia-70m")))
