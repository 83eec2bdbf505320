"""The tokenizer of a run: a byte-level BPE that is trained on its text, or a pretrained one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from relora_core.data.cache import build_once, check_unchanged, digest
from relora_core.data.progress import ProgressReport
from relora_core.data.sources import Tally, documents, fingerprint, source_bytes, token_source_files
from relora_core.data.split import is_held_out
from relora_core.errors import DataError
from relora_core.errors.failures import reason
from relora_core.events import DataProgress, Emit
from relora_core.spec import (
    ModelSpec,
    NoTokenizer,
    PretrainedTokenizer,
    Source,
    TrainedTokenizer,
    written_vocab_size,
)
from relora_core.spec.file_uris import is_missing
from relora_core.workdir.event_log import silent

END_OF_TEXT = "<|endoftext|>"
TRAINING_CHARACTERS = 1_000_000_000  # more text hardly changes the merges and takes hours
RECIPE = 1  # raise it when the same text would give another tokenizer


@dataclass(frozen=True)
class TokenIds:
    """Replaces the tokenizer if the data is token ids without any text."""

    vocab_size: int
    eos_token_id: int

    @property
    def bos_token_id(self) -> int:
        return self.eos_token_id

    @property
    def pad_token_id(self) -> int:
        return self.eos_token_id

    def save_pretrained(self, save_directory: Path) -> None:
        """Write nothing, because the model's config has both numbers."""


Tokenization = PreTrainedTokenizerFast | TokenIds


def token_ids(spec: NoTokenizer, model: ModelSpec) -> TokenIds:
    """Return the vocabulary of a run without a tokenizer. Raise `DataError` if it has no size."""
    vocab_size = written_vocab_size(model)
    if vocab_size is None:
        raise DataError("without a tokenizer, set model.config.vocab_size or take a preset")
    return TokenIds(vocab_size, spec.eos_token_id)


def make_tokenizer(
    spec: TrainedTokenizer | PretrainedTokenizer,
    sources: Sequence[Source],
    *,
    held_out: float,
    cache: Path,
    emit: Emit = silent,
    resumed: Path | None = None,
) -> PreTrainedTokenizerFast:
    """Load or train the tokenizer. It is never trained on held-out documents.

    It is trained on equally many characters of each source, if they have as many. `emit` gets
    progress events while they are read. If the run resumes from the checkpoint
    `resumed`, load the tokenizer that was trained before from there.

    The result has an EOS token. If it has no BOS or padding token, EOS takes that place, because in
    the packed stream, EOS comes before each document.
    """
    match spec:
        case TrainedTokenizer() if resumed is not None:
            tokenizer = PreTrainedTokenizerFast.from_pretrained(resumed)
        case TrainedTokenizer():
            tokenizer = _trained(spec, sources, held_out=held_out, cache=cache, emit=emit)
        case PretrainedTokenizer():
            tokenizer = _pretrained(spec.pretrained, spec.eos_token)
    tokenizer.bos_token = tokenizer.bos_token or tokenizer.eos_token
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


def vocabulary_size(tokenizer: Tokenization) -> int:
    """Return the largest id plus one, because a vocabulary may have gaps."""
    if isinstance(tokenizer, TokenIds):
        return tokenizer.vocab_size
    return max(tokenizer.get_vocab().values()) + 1


def vocabulary_hash(tokenizer: Tokenization) -> str:
    """Return a hash of the tokens and their ids, which is the same for all library versions."""
    if isinstance(tokenizer, TokenIds):
        return digest(tokenizer.vocab_size, tokenizer.eos_token_id)
    return digest(sorted(tokenizer.get_vocab().items()), tokenizer.eos_token_id)


def text_encoder(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """Return a copy that does not truncate or pad, and encodes special tokens in a text as text."""
    encoder = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    encoder.encode_special_tokens = True
    encoder.no_truncation()
    encoder.no_padding()
    return encoder


def prompt_tokenizer(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Return a tokenizer that encodes prompts as in training, without adding special tokens.

    After an EOS or a token that it never saw, a causal model does not continue the prompt. The
    result is a `PreTrainedTokenizerFast`, because other classes, such as T5's, add EOS again when
    they are loaded.
    """
    if tokenizer.backend_tokenizer.num_special_tokens_to_add(is_pair=False) == 0:
        return tokenizer
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.post_processor = None
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **tokenizer.special_tokens_map,
        extra_special_tokens=tokenizer.extra_special_tokens,
        chat_template=tokenizer.chat_template,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        clean_up_tokenization_spaces=tokenizer.clean_up_tokenization_spaces,
    )


def _trained(
    spec: TrainedTokenizer, sources: Sequence[Source], *, held_out: float, cache: Path, emit: Emit
) -> PreTrainedTokenizerFast:
    size = spec.train.vocab_size
    for source in sources:
        if token_source_files(source) is not None:
            raise DataError(
                f"{source.place} holds token ids, and no tokenizer can be trained on them; name "
                "the one that made them: tokenizer: {pretrained: NAME}"
            )

    content = _fingerprint(sources, cache)
    folder = cache / "tokenizers" / digest(RECIPE, content, held_out, size)
    begun = DataProgress(split="train", making="tokenizer", bytes_total=_bytes(sources))
    report = ProgressReport(folder, begun, emit)

    def build(partial: Path) -> None:
        tally = Tally()
        texts = report.counted(_training_text(sources, held_out, tally), tally)
        tokenizer = _train_bpe(texts, vocab_size=size)
        places = ", ".join(source.place for source in sources)
        check_unchanged(places, content, _fingerprint(sources, cache))
        tokenizer.save_pretrained(partial)
        report.end()

    build_once(folder, build, cache=cache, waiting=report.tell_of_another)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def _train_bpe(texts: Iterator[str], *, vocab_size: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END_OF_TEXT)


def _fingerprint(sources: Sequence[Source], cache: Path) -> str:
    contents = [fingerprint(source, cache=cache) for source in sources]
    return contents[0] if len(contents) == 1 else digest("mixture", contents)


def _bytes(sources: Sequence[Source]) -> int | None:
    sizes = [source_bytes(source) for source in sources]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _training_text(sources: Sequence[Source], held_out: float, tally: Tally) -> Iterator[str]:
    for source in sources:
        most = TRAINING_CHARACTERS // len(sources)
        yield from _text_of(source, held_out, tally, most_characters=most)


def _text_of(
    source: Source, held_out: float, tally: Tally, *, most_characters: int
) -> Iterator[str]:
    characters = 0
    for text in documents(source, tally):
        if not is_held_out(text, held_out):
            yield text
            characters += len(text)
            if characters >= most_characters:
                return
    if characters == 0 and held_out > 0:  # few documents are split by tokens
        yield from _text_of(source, 0.0, tally, most_characters=most_characters)


def _pretrained(name: str, eos_token: str | None) -> PreTrainedTokenizerFast:
    tokenizer = _load(name)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise DataError(f"the tokenizer {name!r} is not a fast one (it has no tokenizer.json)")
    if eos_token is not None:
        if eos_token not in tokenizer.get_vocab():
            raise DataError(
                f"the tokenizer {name!r} has no token {eos_token!r}, which tokenizer.eos_token "
                f"names. {_special_tokens(tokenizer)}"
            )
        tokenizer.eos_token = eos_token
    if tokenizer.eos_token_id is None:
        raise DataError(
            f"the tokenizer {name!r} has no EOS token, which must end each document; name one of "
            f"its tokens in tokenizer.eos_token. {_special_tokens(tokenizer)}"
        )
    return tokenizer


def _load(name: str) -> object:
    if is_missing(name):
        raise DataError(f"cannot load the tokenizer {name!r}: there is no such file or folder")
    try:
        if Path(name).is_file():
            return PreTrainedTokenizerFast(tokenizer_file=name)
        return AutoTokenizer.from_pretrained(name)
    except Exception as error:  # for a damaged file, `tokenizers` raises a plain Exception
        raise DataError(f"cannot load the tokenizer {name!r}: {reason(error)}") from error


def _special_tokens(tokenizer: PreTrainedTokenizerFast) -> str:
    special = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special]
    return f"Its special tokens are: {', '.join(special[:20]) or 'none'}."
