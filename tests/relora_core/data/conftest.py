import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from relora_core.data.shards import TokenShards

WriteRows = Callable[[str, Iterable[object]], Path]
MakeShards = Callable[[int, int], TokenShards]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    """Write a JSON-lines file of that name; a plain string becomes a row's text."""

    def write(name: str, rows: Iterable[object]) -> Path:
        objects = [{"text": row} if isinstance(row, str) else row for row in rows]
        file = tmp_path / name
        file.write_text("".join(json.dumps(item) + "\n" for item in objects))
        return file

    return write


@pytest.fixture
def make_shards(tmp_path: Path) -> MakeShards:
    """Shards of so many sequences of that length, whose tokens are 0, 1, 2, ..."""

    def make(num_sequences: int, sequence_length: int) -> TokenShards:
        file = tmp_path / "tokens.bin"
        file.write_bytes(np.arange(num_sequences * sequence_length + 1, dtype="<u4").tobytes())
        return TokenShards(
            file, dtype="<u4", num_documents=1, vocab_size=2**32, sequence_length=sequence_length
        )

    return make


def letter_tokenizer(extra: int = 0) -> PreTrainedTokenizerFast:
    """a is 1, b is 2, ...; 0 ends a document."""
    names = [*LETTERS, *(f"unused {i}" for i in range(extra))]
    vocabulary = {"<end>": 0} | {name: i for i, name in enumerate(names, start=1)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
