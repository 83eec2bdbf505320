"""Speed of tokenizing and packing text: this project's shard cache against `datasets.map`."""

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
    """Speeds in MB of text per second, one number for each round."""

    model_config = ConfigDict(frozen=True)

    megabytes: float
    processes: int
    ours: list[float]
    datasets_map: list[float]


def measure_packing(*, copies: int, rounds: int, cache: Path) -> Packing:
    """Measure both sides. `cache` keeps the tokenizer. Each round packs the text again."""
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
    """Measure in a separate process.

    `datasets.map` sets TOKENIZERS_PARALLELISM=false and does not reset it. A later measurement in
    the same process would tokenize with one thread.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(seconds, *given).result()


def train_tokenizer(cache: Path) -> PreTrainedTokenizerFast:
    """Train a tokenizer on one copy of the corpus, with 8192 tokens, the default of a spec."""
    cache.mkdir(parents=True, exist_ok=True)
    source = Source(uri=str(plain_corpus(cache, copies=1)))
    spec = TrainedTokenizer(train=TokenizerTraining())
    return make_tokenizer(spec, [source], held_out=0.0, cache=cache)


def pack_seconds(source: Source, tokenizer: PreTrainedTokenizerFast, cache: Path) -> float:
    started = time.perf_counter()
    packed = pack(source, tokenizer, held_out=0.0, cache=cache)
    seconds = time.perf_counter() - started
    assert not packed.reused, "a cache of its own"
    return seconds


def _map_seconds(source: Source, tokenizer: PreTrainedTokenizerFast, cache: Path) -> float:
    """Measure the two `map` calls of the example run_clm.py of transformers.

    They use as many processes as there are cores.
    """
    import datasets  # imported before the timer starts, and late, because contenders don't need it

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
    """Join the documents of a batch and cut them into sequences. Drop the rest."""
    stream = list(chain.from_iterable(rows["input_ids"]))
    whole = len(stream) // SEQUENCE_LENGTH * SEQUENCE_LENGTH
    starts = range(0, whole, SEQUENCE_LENGTH)
    return {"input_ids": [stream[start : start + SEQUENCE_LENGTH] for start in starts]}


def _processes() -> int:
    return len(os.sched_getaffinity(0))
