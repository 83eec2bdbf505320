"""Language modelling: predict each token from the tokens before it."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel

from relora_core.counted import counted
from relora_core.data.batch import Batch
from relora_core.data.fingerprints import DataFingerprints
from relora_core.data.order import Mixture
from relora_core.data.prepare import PreparedData
from relora_core.data.shards import TokenShards
from relora_core.data.tokenizer import TokenIds, Tokenization, prompt_tokenizer, vocabulary_size
from relora_core.data.validation import ValidationSet
from relora_core.errors import ModelError
from relora_core.events import Evaluated
from relora_core.methods.method import Method
from relora_core.models.build import AUTO_MODELS, AutoModel, build_model, make_config
from relora_core.models.compilation import compiles
from relora_core.presets import MODELS
from relora_core.spec import PresetModel, PretrainedModel, PretrainedTokenizer, TrainSpec
from relora_core.spec.model import MASK_DOCUMENTS, no_document_mask
from relora_core.tasks.next_token import next_token_objective


@dataclass(frozen=True)
class CausalLM:
    auto_model: ClassVar[AutoModel] = AUTO_MODELS["causal_lm"]
    num_sums: ClassVar[int] = 2

    spec: TrainSpec
    processor: Tokenization
    train: TokenShards | Mixture
    validation: tuple[ValidationSet[TokenShards], ...]
    fingerprints: DataFingerprints

    @classmethod
    def of(cls, spec: TrainSpec, data: PreparedData) -> Self:
        tokenizer = data.tokenizer
        if not isinstance(tokenizer, TokenIds):
            tokenizer = prompt_tokenizer(tokenizer)
        return cls(spec, tokenizer, data.train, data.validation, data.fingerprints)

    def build_model(self, method: Method, *, weights: bool = True) -> PreTrainedModel:
        config = make_config(self.spec, self._fields())
        self._check(config)
        config = method.config(config, self.auto_model)
        model = build_model(self.spec, self.auto_model, config, weights=weights)
        model.config.use_cache = False
        if self._has_another_tokenizer():
            model.generation_config = GenerationConfig(**self._special_tokens())
        return model

    def _has_another_tokenizer(self) -> bool:
        """Return whether the model is a pretrained model with another tokenizer than this run."""
        match self.spec.model, self.spec.tokenizer:
            case PretrainedModel(pretrained=name), PretrainedTokenizer(pretrained=tokenizer):
                return name != tokenizer
            case model, _:
                return isinstance(model, PretrainedModel)

    def _special_tokens(self) -> dict[str, int | None]:
        return {
            "bos_token_id": self.processor.bos_token_id,
            "eos_token_id": self.processor.eos_token_id,
            "pad_token_id": self.processor.pad_token_id,
        }

    def _fields(self) -> dict[str, Any]:
        fields = {"vocab_size": vocabulary_size(self.processor), **self._special_tokens()}
        if isinstance(self.spec.model, PresetModel):
            positions = MODELS[self.spec.model.preset]["max_position_embeddings"]
            fields["max_position_embeddings"] = max(positions, self.spec.data.sequence_length)
        return fields

    def _check(self, config: PreTrainedConfig) -> None:
        if self.spec.data.document_mask and config.model_type not in MASK_DOCUMENTS:
            raise ModelError(f"data.document_mask: {no_document_mask(config.model_type)}")
        tokens = vocabulary_size(self.processor)
        if config.vocab_size < tokens:
            raise ModelError(
                f"the tokenizer has {counted(tokens, 'token')}, the model only "
                f"{config.vocab_size:,}; take the model's own tokenizer or leave vocab_size out of "
                "model.config"
            )
        positions = getattr(config, "max_position_embeddings", None)
        length = self.spec.data.sequence_length
        if positions is not None and positions < length:
            raise ModelError(
                f"data.sequence_length {length} is over the {positions} positions of the model"
            )

    def example_bytes(self, model: PreTrainedModel) -> int:
        """Return the bytes of one sequence's logits, usually the largest part of the memory."""
        return 4 * self.spec.data.sequence_length * model.config.vocab_size

    def objective(self, model: PreTrainedModel) -> nn.Module:
        compiled = compiles(self.spec.training, model.device)
        if not self.spec.data.document_mask:
            return next_token_objective(model, compiled=compiled)
        if compiled and model.device.type == "cuda":
            model.set_attn_implementation("flex_attention")  # skips the blocks between documents
        return next_token_objective(
            model, compiled=compiled, document_eos=self.processor.eos_token_id
        )

    def sum_of_losses(self, objective: nn.Module, batch: Batch) -> Tensor:
        """Return the sum of the cross-entropies of all next tokens."""
        losses: Tensor = objective(batch.inputs, batch.targets)
        return losses

    def measure(self, objective: nn.Module, batch: Batch) -> Tensor:
        """Return the sum of losses and the number of tokens, fp64 (2,)."""
        losses = self.sum_of_losses(objective, batch).double()
        return torch.stack([losses, batch.num_targets().double()])

    def evaluated(self, step: int, sums: Tensor) -> Evaluated:
        losses, tokens = sums.tolist()
        loss = losses / tokens
        return Evaluated(step=step, loss=loss, perplexity=perplexity(loss), tokens=round(tokens))


def perplexity(loss: float) -> float:
    """Return the perplexity, or infinity if it is too large for a float: at a loss of about 710."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf
