"""Generate text with a merged model, on the CPU or a GPU."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict
from transformers import AutoModelForCausalLM, AutoTokenizer

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


@as_train_error()
def generate(folder: Path, request: SampleRequest, *, device: str) -> Sample:
    """Continue the prompt, which is treated as the beginning of a document, as in training.

    Raise `GenerationError` if the prompt and the new tokens do not fit the model. All other errors
    are raised as a `TrainError` too.
    """
    with no_progress_bars():
        model: Any = AutoModelForCausalLM.from_pretrained(folder)
    model.to(device).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    prompt = text_encoder(tokenizer).encode(request.prompt, add_special_tokens=False).ids
    _check_fits(model, len(prompt) + 1 + request.max_new_tokens)
    # In training, EOS comes before each document.
    ids = torch.tensor([[tokenizer.eos_token_id, *prompt]], device=device)
    torch.manual_seed(request.seed)
    new = _continue(model, ids, request, eos=tokenizer.eos_token_id)
    ended = bool(new) and new[-1] == tokenizer.eos_token_id
    return Sample(
        text=tokenizer.decode(new[:-1] if ended else new),
        prompt_tokens=len(prompt),
        new_tokens=len(new),
        finish_reason="end_of_text" if ended else "length",
    )


def _continue(model: Any, ids: torch.Tensor, request: SampleRequest, *, eos: int) -> list[int]:
    sampling = {"temperature": request.temperature, "top_p": request.top_p, "top_k": 0}
    with torch.inference_mode():
        output = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=request.max_new_tokens,
            do_sample=request.temperature > 0,
            eos_token_id=eos,
            pad_token_id=eos,
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
