"""The GPUs that a job asks for, and the classes of GPU, to which workers belong."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from relora_core.spec import Spec, TextPattern

GpuClass = Annotated[
    str,
    Field(max_length=63),
    TextPattern(
        r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        "lower-case letters, digits and `-`, with a letter or a digit at both ends",
    ),
]


class Resources(Spec):
    """The GPUs and machines that a job runs on."""

    gpus: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Training processes, one for each GPU. Where no worker has a GPU, one process "
        "trains on the CPU.",
    )
    gpu: GpuClass | None = Field(
        default=None,
        description="The class of GPU that the job needs: a name that the operator gives to "
        "workers, such as h100. Default: any.",
    )
    nodes: Literal[1] = Field(
        default=1, description="Machines of a job. Only 1 is possible in this version."
    )

    @field_validator("gpu", mode="before")
    @classmethod
    def _is_a_class_and_no_number(cls, value: object) -> object:
        if isinstance(value, int):
            raise ValueError("must name a class of GPU, such as h100; did you mean `gpus`?")
        return value
