from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, LlamaTokenizer, PreTrainedTokenizerFast, T5Tokenizer

from relora_core.data import tokenizer as tokenizers_module
from relora_core.data.split import is_held_out
from relora_core.data.tokenizer import (
    make_tokenizer,
    prompt_tokenizer,
    text_encoder,
    vocabulary_size,
)
from relora_core.errors import DataError, DataUnavailable
from relora_core.spec import PretrainedTokenizer, Source, TokenizerTraining, TrainedTokenizer

WriteRows = Callable[[str, Iterable[object]], Path]
TEXTS = [f"the cat sat on mat {i}, naïve café 猫" for i in range(50)]


def train(file: Path, cache: Path, *, vocab_size: int = 300) -> PreTrainedTokenizerFast:
    spec = TrainedTokenizer(train=TokenizerTraining(vocab_size=vocab_size))
    return make_tokenizer(spec, [Source(uri=str(file))], held_out=0.5, cache=cache)


@pytest.fixture
def file(write_rows: WriteRows) -> Path:
    return write_rows("rows.jsonl", TEXTS)


def test_any_text_survives_encoding(file: Path, tmp_path: Path) -> None:
    tokenizer = train(file, tmp_path / "cache")
    text = "Ünseen\t\N{PILE OF POO}  words\n\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert vocabulary_size(tokenizer) == len(tokenizer) == 300


def test_one_token_ends_begins_and_pads(file: Path, tmp_path: Path) -> None:
    tokenizer = train(file, tmp_path / "cache")
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|endoftext|>", 0)
    assert tokenizer.bos_token_id == tokenizer.pad_token_id == 0


def test_the_smallest_vocabulary_is_the_bytes_and_the_end(file: Path, tmp_path: Path) -> None:
    tokenizer = train(file, tmp_path / "cache", vocab_size=257)
    assert vocabulary_size(tokenizer) == 257
    assert len(tokenizer.encode("cat 猫")) == 7


def test_the_same_text_gives_the_same_tokenizer(file: Path, tmp_path: Path) -> None:
    first, second = (train(file, tmp_path / name).backend_tokenizer.to_str() for name in "ab")
    assert first == second


def test_a_tokenizer_of_text_that_is_replaced_while_it_is_read_is_not_kept(
    file: Path, write_rows: WriteRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(*_: object) -> bool:
        write_rows(file.name, reversed(TEXTS))
        return False

    monkeypatch.setattr(tokenizers_module, "is_held_out", replace)
    with pytest.raises(DataUnavailable, match=f"{file} was changed or replaced while"):
        train(file, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "tokenizers").glob("*/tokenizer.json"))


def test_the_held_out_text_does_not_shape_the_tokenizer(
    write_rows: WriteRows, file: Path, tmp_path: Path
) -> None:
    kept = write_rows("kept.jsonl", [text for text in TEXTS if not is_held_out(text, 0.5)])
    whole, part = (train(source, tmp_path / "cache") for source in (file, kept))
    assert whole.get_vocab() == part.get_vocab()


def test_a_trained_tokenizer_is_found_again(file: Path, tmp_path: Path) -> None:
    train(file, tmp_path / "cache")
    (folder,) = (path for path in (tmp_path / "cache" / "tokenizers").iterdir() if path.is_dir())
    built = folder.stat().st_ino
    train(file, tmp_path / "cache")
    assert folder.stat().st_ino == built


def test_a_saved_tokenizer_loads_as_a_pretrained_one(file: Path, tmp_path: Path) -> None:
    trained = train(file, tmp_path / "cache")
    trained.save_pretrained(tmp_path / "saved")
    spec = PretrainedTokenizer(pretrained=str(tmp_path / "saved"))
    loaded = make_tokenizer(spec, [Source(uri="unused")], held_out=0.0, cache=tmp_path)
    assert loaded.encode("the cat") == trained.encode("the cat")
    assert isinstance(AutoTokenizer.from_pretrained(tmp_path / "saved"), PreTrainedTokenizerFast)


def test_special_tokens_written_in_a_text_are_text(file: Path, tmp_path: Path) -> None:
    tokenizer = train(file, tmp_path / "cache")
    ids = text_encoder(tokenizer).encode("a<|endoftext|>b", add_special_tokens=False).ids
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids) == "a<|endoftext|>b"


def test_a_text_is_encoded_whole_whatever_the_tokenizer_truncates(
    file: Path, tmp_path: Path
) -> None:
    tokenizer = train(file, tmp_path / "cache")
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=4)
    assert len(text_encoder(tokenizer).encode("\n" * 9).ids) == 9
    assert len(text_encoder(tokenizer).encode("\n").ids) == 1


T5 = T5Tokenizer(
    vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("▁the", -3.0)],
    extra_ids=0,
)
LLAMA = LlamaTokenizer(
    vocab={"<unk>": 0, "<s>": 1, "</s>": 2, "▁the": 3, "▁": 4}, merges=[], add_bos_token=True
)


@pytest.mark.parametrize("special", [T5, LLAMA], ids=["ends with eos", "begins with bos"])
def test_the_tokenizer_for_prompts_adds_no_special_token_also_when_it_is_saved(
    special: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    in_training = text_encoder(special).encode("the the", add_special_tokens=False).ids
    assert special("the the").input_ids != in_training
    prompts = prompt_tokenizer(special)
    prompts.save_pretrained(tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    assert prompts("the the").input_ids == saved("the the").input_ids == in_training
    assert saved.special_tokens_map == special.special_tokens_map


def test_a_tokenizer_that_adds_nothing_stays_as_it_is(file: Path, tmp_path: Path) -> None:
    tokenizer = train(file, tmp_path / "cache")
    assert prompt_tokenizer(tokenizer) is tokenizer


def test_a_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    endless = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    endless.save_pretrained(tmp_path / "endless")
    spec = PretrainedTokenizer(pretrained=str(tmp_path / "endless"))
    with pytest.raises(DataError, match="has no EOS token"):
        make_tokenizer(spec, [Source(uri="unused")], held_out=0.0, cache=tmp_path)


def test_a_tokenizer_that_is_not_there_is_said(tmp_path: Path) -> None:
    spec = PretrainedTokenizer(pretrained=str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"'.*none': there is no such file or folder"):
        make_tokenizer(spec, [Source(uri="unused")], held_out=0.0, cache=tmp_path)


def test_a_damaged_tokenizer_json_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{")
    with pytest.raises(DataError, match=r"cannot load the tokenizer '.*tokenizer.json'"):
        make_tokenizer(
            PretrainedTokenizer(pretrained=str(file)),
            [Source(uri="unused")],
            held_out=0.0,
            cache=tmp_path,
        )


def test_a_damaged_tokenizer_of_the_cache_is_trained_again(file: Path, tmp_path: Path) -> None:
    before = train(file, tmp_path / "cache").get_vocab()
    (saved,) = (tmp_path / "cache" / "tokenizers").glob("*/tokenizer.json")
    saved.write_text(saved.read_text().replace("at", "ut", 1))
    assert train(file, tmp_path / "cache").get_vocab() == before


@pytest.mark.parametrize("name", ["", "tokenizer.json"])
def test_a_tokenizer_json_works_with_a_named_end(tmp_path: Path, name: str) -> None:
    plain = Tokenizer(models.WordLevel({"</s>": 0, "cat": 1, "[UNK]": 2}, unk_token="[UNK]"))
    plain.save(str(tmp_path / "tokenizer.json"))
    loaded = make_tokenizer(
        PretrainedTokenizer(pretrained=str(tmp_path / name), eos_token="</s>"),
        [Source(uri="unused")],
        held_out=0.0,
        cache=tmp_path,
    )
    assert (loaded.eos_token_id, loaded.encode("cat")) == (0, [1])
    loaded.save_pretrained(tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").eos_token_id == 0


@pytest.mark.parametrize(
    ("eos_token", "message"),
    [(None, "name one of its tokens in tokenizer.eos_token"), ("<end>", "has no token '<end>'")],
)
def test_an_end_that_is_unknown_is_said(
    tmp_path: Path, eos_token: str | None, message: str
) -> None:
    Tokenizer(models.WordLevel({"</s>": 0}, unk_token="</s>")).save(
        str(tmp_path / "tokenizer.json")
    )
    spec = PretrainedTokenizer(pretrained=str(tmp_path), eos_token=eos_token)
    with pytest.raises(DataError, match=message):
        make_tokenizer(spec, [Source(uri="unused")], held_out=0.0, cache=tmp_path)
