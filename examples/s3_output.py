"""Store checkpoints and the model in a bucket, with credentials of the job's own.

    relora up                                            # in another terminal
    export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...
    python examples/s3_output.py s3://bucket/prefix [http://127.0.0.1:8000]

For another S3 server, set AWS_ENDPOINT_URL to its endpoint where you start the service.
"""

import os
import sys
from pathlib import Path

from jobs.schemas.status import JobStatus
from service.client import Client

TEXT = Path(__file__).parent / "data" / "kjv.jsonl.gz"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "my-s3-id", "AWS_SECRET_ACCESS_KEY": "my-s3-key"}


def spec(output: str) -> dict[str, object]:
    return {
        "name": "to-s3",
        "model": {"preset": "llama_9m"},
        "tokenizer": {"train": {"vocab_size": 4096}},
        "data": {"train": {"uri": str(TEXT.resolve())}, "sequence_length": 128},
        "method": {"name": "relora", "rank": 16, "warm_start_steps": 100, "reset_every": 100},
        "training": {"steps": 400, "global_batch_size": 16, "precision": "fp32", "compile": False},
        "output": {"uri": output},
        "secrets": CREDENTIALS,  # names; the values are stored encrypted, never in a spec or log
    }


def main(output: str, url: str) -> int:
    with Client(url) as client:
        for variable, name in CREDENTIALS.items():
            client.secrets.put(name, os.environ[variable])
        job = client.jobs.create(spec(output))
        for event in client.jobs.stream(job.id):
            print(event)
        for file in client.jobs.artifacts(job.id, prefix="final/"):
            print(f"{output}/{file.path}  {file.size:,} bytes  {file.sha256}")
        return 0 if client.jobs.get(job.id).status is JobStatus.SUCCEEDED else 1


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8000"))
