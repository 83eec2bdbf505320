"""Text to packed tokens: this project's cache of shards beside `datasets.map`."""

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from transformers import PreTrainedTokenizerFast

from benchmarks.workloads import plain_corpus
from relora_core.data.packing import pack
from relora_core.data.tokenizer import make_tokenizer
from relora_core.progress_bars import no_dataset_bars
from relora_core.spec import Source, TokenizerTraining, TrainedTokenizer

SEQUENCE_LENGTH = 512
Measure = Callable[[Source, PreTrainedTokenizerFast, Path], float]
Examples = dict[str, list[list[int]]]


class Packing(BaseModel):
    """MB of text a second, one of each in a round."""

    model_config = ConfigDict(frozen=True)

    megabytes: float
    processes: int
    ours: list[float]
    datasets_map: list[float]


def measure_packing(*, copies: int, rounds: int, cache: Path) -> Packing:
    """`cache` gets the tokenizer; what is packed is packed anew in each round."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = plain_corpus(folder, copies=copies)
        source = Source(uri=str(corpus))
        tokenizer = train_tokenizer(cache)
        megabytes = corpus.stat().st_size / 1e6
        ours, others = [], []
        for number in range(rounds):
            scratch = folder / str(number)
            ours.append(megabytes / _alone(pack_seconds, source, tokenizer, scratch / "ours"))
            others.append(megabytes / _alone(_map_seconds, source, tokenizer, scratch / "datasets"))
    return Packing(megabytes=megabytes, processes=_processes(), ours=ours, datasets_map=others)


def _alone(seconds: Measure, *given: Any) -> float:
    """In a process of its own: `datasets.map` leaves TOKENIZERS_PARALLELISM=false behind it, and
    whoever tokenizes next in the same process would do so with one thread."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(seconds, *given).result()


def train_tokenizer(cache: Path) -> PreTrainedTokenizerFast:
    """On one copy of the corpus: its 8192 tokens are the default of a spec."""
    cache.mkdir(parents=True, exist_ok=True)
    source = Source(uri=str(plain_corpus(cache, copies=1)))
    spec = TrainedTokenizer(train=TokenizerTraining())
    return make_tokenizer(spec, source, held_out=0.0, cache=cache)


def pack_seconds(source: Source, tokenizer: PreTrainedTokenizerFast, cache: Path) -> float:
    started = time.perf_counter()
    packed = pack(source, tokenizer, held_out=0.0, cache=cache)
    seconds = time.perf_counter() - started
    assert not packed.reused, "a cache of its own"
    return seconds


def _map_seconds(source: Source, tokenizer: PreTrainedTokenizerFast, cache: Path) -> float:
    """The two maps of transformers' example run_clm.py, in as many processes as there are cores."""
    import datasets  # before the time counts, and late: the contenders' processes do without

    started = time.perf_counter()
    with no_dataset_bars():
        rows = datasets.load_dataset(
            "json", data_files=source.uri, split="train", cache_dir=str(cache)
        )
        documents = rows.map(
            tokenized,
            batched=True,
            num_proc=_processes(),
            remove_columns=rows.column_names,
            fn_kwargs={"tokenizer": tokenizer},
        )
        documents.map(grouped, batched=True, num_proc=_processes())
    return time.perf_counter() - started


def tokenized(rows: dict[str, list[str]], tokenizer: PreTrainedTokenizerFast) -> Examples:
    ids = tokenizer(rows["text"], return_attention_mask=False)["input_ids"]
    return {"input_ids": [[*document, tokenizer.eos_token_id] for document in ids]}


def grouped(rows: Examples) -> Examples:
    """Documents of a batch one after the other, cut into sequences; the rest is dropped."""
    stream = list(chain.from_iterable(rows["input_ids"]))
    whole = len(stream) // SEQUENCE_LENGTH * SEQUENCE_LENGTH
    starts = range(0, whole, SEQUENCE_LENGTH)
    return {"input_ids": [stream[start : start + SEQUENCE_LENGTH] for start in starts]}


def _processes() -> int:
    return len(os.sched_getaffinity(0))
