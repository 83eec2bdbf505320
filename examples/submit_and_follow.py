"""Submit a job, follow its events to the end, and download the model.

relora up                                                   # in another terminal
python examples/submit_and_follow.py [http://127.0.0.1:8000]
"""

import sys
from pathlib import Path

from jobs.schemas.status import JobStatus
from service.client import Client

TEXT = Path(__file__).parent / "data" / "kjv.jsonl.gz"
SPEC = {
    "name": "submit-and-follow",
    "model": {"preset": "llama_9m"},
    "tokenizer": {"train": {"vocab_size": 4096}},
    "data": {"train": {"uri": str(TEXT.resolve())}, "sequence_length": 128},
    "method": {"name": "relora", "rank": 16, "warm_start_steps": 100, "reset_every": 100},
    "training": {"steps": 400, "global_batch_size": 16, "precision": "fp32", "compile": False},
}


def main(url: str) -> int:
    with Client(url) as client:
        submitted = client.jobs.create(SPEC)
        print(f"job {submitted.id}")
        for event in client.jobs.stream(submitted.id):  # goes on after a restart of the server
            print(event)
        job = client.jobs.get(submitted.id)
        if job.status is not JobStatus.SUCCEEDED:
            print(f"the job {job.status}: {job.error}")
            return 1
        client.jobs.download(job.id, Path("models") / job.id, prefix="final/")
    print(f"AutoModelForCausalLM.from_pretrained('models/{job.id}/final')")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))
