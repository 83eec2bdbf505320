"""Turn the bytes of a resized image into model inputs, in training and in exported models."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from transformers import AutoImageProcessor

from relora_core.data.images.decode import RESAMPLE
from relora_core.errors import ModelError
from relora_core.errors.failures import reason
from relora_core.spec import PretrainedModel, TrainSpec
from relora_core.tasks.task import Processor


@dataclass(frozen=True)
class Normalization:
    """The normalization of red, green and blue in [0, 1]. By default the result is in [-1, 1]."""

    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalize uint8 pixels (n, 3, size, size) on their device. Return fp32."""
        mean, std = (_channels(values, pixels.device) for values in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std


@cache  # once for each device, because a copy from the host to a GPU is a sync point
def _channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return the values as a tensor of (3, 1, 1)."""
    return torch.tensor(values, device=device)[:, None, None]


def normalization(spec: TrainSpec) -> Normalization:
    """Return the normalization of the pretrained weights, or the default for random weights.

    Raise `ModelError` if a pretrained model has no image processor.
    """
    if not isinstance(spec.model, PretrainedModel) or spec.model.init == "random":
        return Normalization()
    try:
        theirs = AutoImageProcessor.from_pretrained(spec.model.pretrained)
    except (OSError, ValueError) as error:
        raise ModelError(f"model.pretrained has no image processor: {reason(error)}") from error
    if not theirs.do_normalize:
        return Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return Normalization(tuple(theirs.image_mean), tuple(theirs.image_std))


def image_processor(size: int, normalization: Normalization) -> Processor:
    """Return the processor that turns a raw image into the same pixels as in training."""
    from transformers import ViTImageProcessorPil  # late: it needs Pillow

    return ViTImageProcessorPil(
        size={"height": size, "width": size},
        resample=RESAMPLE,
        image_mean=list(normalization.mean),
        image_std=list(normalization.std),
        do_convert_rgb=True,
    )
