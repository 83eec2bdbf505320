"""Generate text with a merged model, on the CPU or a GPU."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.generation.streamers import BaseStreamer

from relora_core.data.tokenizer import text_encoder
from relora_core.errors import GenerationError
from relora_core.errors.unexpected import as_train_error
from relora_core.progress_bars import no_progress_bars


class SampleRequest(BaseModel):
    """A request to sample text. With a temperature of 0, always take the most likely token."""

    model_config = ConfigDict(frozen=True)

    prompt: str
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int


@dataclass(frozen=True)
class Sample:
    text: str  # without the prompt
    prompt_tokens: int
    new_tokens: int
    finish_reason: Literal["end_of_text", "length"]


Tell = Callable[[str], None]
"""Is told the text so far, each time that it has grown by a token."""


def _tell_nobody(_: str) -> None:
    pass


@dataclass(frozen=True)
class Sampler:
    """A model in memory that samples texts."""

    model: Any
    tokenizer: Any

    @classmethod
    @as_train_error()
    def load(cls, folder: Path, *, device: str) -> Self:
        """Load a merged model and its tokenizer. All errors are raised as a `TrainError`."""
        with no_progress_bars():
            model: Any = AutoModelForCausalLM.from_pretrained(folder)
        model.to(device).eval()
        return cls(model, AutoTokenizer.from_pretrained(folder))

    @as_train_error()
    def sample(self, request: SampleRequest, tell: Tell = _tell_nobody) -> Sample:
        """Continue the prompt, which is treated as the beginning of a document, as in training.

        Raise `GenerationError` if the prompt and the new tokens do not fit the model. All other
        errors are raised as a `TrainError` too.
        """
        encoder = text_encoder(self.tokenizer)
        prompt = encoder.encode(request.prompt, add_special_tokens=False).ids
        _check_fits(self.model, len(prompt) + 1 + request.max_new_tokens)
        # In training, EOS comes before each document.
        eos = self.tokenizer.eos_token_id
        ids = torch.tensor([[eos, *prompt]], device=self.model.device)
        torch.manual_seed(request.seed)
        new = _continue(self.model, ids, request, _Teller(self.tokenizer, tell), eos=eos)
        ended = bool(new) and new[-1] == eos
        return Sample(
            text=self.tokenizer.decode(new[:-1] if ended else new),
            prompt_tokens=len(prompt),
            new_tokens=len(new),
            finish_reason="end_of_text" if ended else "length",
        )


class _Teller(BaseStreamer):
    """Gets the tokens from transformers as they are sampled, the prompt first."""

    def __init__(self, tokenizer: Any, tell: Tell) -> None:
        self._tokenizer = tokenizer
        self._tell = tell
        self._new: list[int] | None = None  # None until the prompt has come

    def put(self, value: torch.Tensor) -> None:
        if self._new is None:
            self._new = []
            return
        self._new += value.tolist()
        text = self._tokenizer.decode(self._new, skip_special_tokens=True)
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # the rest of a character is to come
            self._tell(text)

    def end(self) -> None:
        pass


def _continue(
    model: Any, ids: torch.Tensor, request: SampleRequest, streamer: BaseStreamer, *, eos: int
) -> list[int]:
    sampling = {"temperature": request.temperature, "top_p": request.top_p, "top_k": 0}
    with torch.inference_mode():
        output = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=request.max_new_tokens,
            do_sample=request.temperature > 0,
            eos_token_id=eos,
            pad_token_id=eos,
            streamer=streamer,
            **(sampling if request.temperature > 0 else {}),
        )
    new: list[int] = output[0, ids.shape[1] :].tolist()
    return new


def _check_fits(model: Any, tokens: int) -> None:
    room = getattr(model.config, "max_position_embeddings", None)
    if room is not None and tokens > room:
        raise GenerationError(
            f"prompt and new tokens are {tokens} together, and the model sees {room} at once; "
            "shorten the prompt or lower max_new_tokens"
        )
