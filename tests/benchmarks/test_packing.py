from itertools import chain
from pathlib import Path

import numpy as np

from benchmarks.packing import SEQUENCE_LENGTH, grouped, tokenized
from relora_core.data.packing import pack
from relora_core.data.tokenizer import make_tokenizer
from relora_core.spec import Source, TokenizerTraining, TrainedTokenizer


def test_both_sides_pack_the_same_tokens(tmp_path: Path) -> None:
    texts = [f"In the beginning, {number} of them were there. " * 40 for number in range(8)]
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(f'{{"text": "{text}"}}\n' for text in texts))
    source = Source(uri=str(file))
    spec = TrainedTokenizer(train=TokenizerTraining(vocab_size=300))
    tokenizer = make_tokenizer(spec, [source], held_out=0.0, cache=tmp_path)
    packed = pack(source, tokenizer, held_out=0.0, cache=tmp_path)
    shards = packed.shards("kept", sequence_length=SEQUENCE_LENGTH)
    theirs = grouped(tokenized({"text": texts}, tokenizer))["input_ids"]
    assert len(theirs) == shards.num_tokens // SEQUENCE_LENGTH > 1
    stream = list(chain.from_iterable(theirs))
    ours = shards.sequences(np.arange(len(shards)))[:, :-1].flatten().tolist()
    assert ours == stream[: len(ours)]
