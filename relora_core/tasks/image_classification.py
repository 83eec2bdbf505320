"""Image classification: predict the label of an image."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from relora_core.data.batch import Batch, Dataset
from relora_core.data.fingerprints import DataFingerprints
from relora_core.data.images.decode import require_pillow
from relora_core.data.images.prepare import prepare_images
from relora_core.data.validation import ValidationSet
from relora_core.errors import ModelError
from relora_core.events import Emit, Evaluated
from relora_core.methods.method import Method
from relora_core.models.build import AUTO_MODELS, AutoModel, build_model, make_config
from relora_core.spec import DEFAULT_IMAGE_SIZE, TrainSpec
from relora_core.tasks.pixels import Normalization, image_processor, normalization
from relora_core.tasks.task import Processor

TOP = 5


@dataclass(frozen=True)
class ImageClassification:
    auto_model: ClassVar[AutoModel] = AUTO_MODELS["image_classification"]
    num_sums: ClassVar[int] = 4

    spec: TrainSpec
    config: PreTrainedConfig
    normalize: Normalization
    processor: Processor
    train: Dataset
    validation: tuple[ValidationSet[Dataset], ...]
    fingerprints: DataFingerprints

    @classmethod
    def of(cls, spec: TrainSpec, *, cache: Path, emit: Emit) -> Self:
        """Prepare the images at the model's size. Raise `DataError` or `ModelError`."""
        require_pillow()
        config = make_config(spec, {"image_size": spec.data.image_size or DEFAULT_IMAGE_SIZE})
        _check_config(config, spec)
        normalize = normalization(spec)
        data = prepare_images(spec, size=config.image_size, cache=cache, emit=emit)
        config.id2label = dict(enumerate(data.labels))
        config.label2id = {label: number for number, label in config.id2label.items()}
        processor = image_processor(config.image_size, normalize)
        return cls(
            spec, config, normalize, processor, data.train, data.validation, data.fingerprints
        )

    def build_model(self, method: Method, *, weights: bool = True) -> PreTrainedModel:
        config = method.config(self.config, self.auto_model)
        return build_model(self.spec, self.auto_model, config, weights=weights)

    def example_bytes(self, model: PreTrainedModel) -> int:
        """Measure the bytes that a forward pass of one blank image keeps for the backward pass."""
        parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in parameters:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        size = self.config.image_size
        blank = torch.zeros(1, 3, size, size, device=model.device)
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with torch.compiler.set_stance("force_eager"), hooks:
            output = model(pixel_values=blank)  # kept alive, so that no storage is reused
        del output
        return sum(kept.values())

    def objective(self, model: PreTrainedModel) -> nn.Module:
        return model

    def sum_of_losses(self, objective: nn.Module, batch: Batch) -> Tensor:
        """Return the sum of the cross-entropies of all labels."""
        return _losses(self.logits(objective, batch), batch.targets)

    def measure(self, objective: nn.Module, batch: Batch) -> Tensor:
        """Return four sums, fp64 (4,): losses, images, top-1 hits and top-5 hits."""
        logits = self.logits(objective, batch)  # (n, labels)
        ranked = logits.topk(min(TOP, logits.shape[1])).indices == batch.targets[:, None]
        losses, images = _losses(logits, batch.targets), batch.num_targets()
        sums = losses, images, ranked[:, 0].sum(), ranked.sum()
        return torch.stack([value.double() for value in sums])

    def evaluated(self, step: int, sums: Tensor) -> Evaluated:
        losses, images, first, in_top = sums.tolist()
        return Evaluated(
            step=step,
            loss=losses / images,
            accuracy=first / images,
            top5_accuracy=in_top / images if len(self.config.id2label or {}) > TOP else None,
            images=int(images),
        )

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the logits, (n, labels), fp32."""
        return model(pixel_values=self.normalize(batch.inputs)).logits.float()


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="sum")


def _check_config(config: PreTrainedConfig, spec: TrainSpec) -> None:
    size, wanted = getattr(config, "image_size", None), spec.data.image_size
    if not isinstance(size, int):
        raise ModelError(
            f"{config.model_type} has no image_size of one number; use a model for square images, "
            "such as vit"
        )
    if wanted not in (None, size):
        raise ModelError(
            f"data.image_size {wanted} differs from the model's image_size {size}; leave one out"
        )
    patch, channels = getattr(config, "patch_size", 1), getattr(config, "num_channels", 3)
    if isinstance(patch, int) and size % patch:
        raise ModelError(
            f"an image of {size} pixels is no whole number of patches of {patch}; change "
            "data.image_size or the model's patch_size"
        )
    if channels != 3:
        raise ModelError(f"images have 3 channels, red, green and blue; the model has {channels}")
