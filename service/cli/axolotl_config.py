"""A config of axolotl: the keys that a job spec can express, and the reasons for the others."""

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from relora_core.spec import SpecConflict

ADAMW = {"adamw", "adamw_hf", "adamw_torch", "adamw_torch_fused", "paged_adamw"}
ADAMW_8BIT = {"adamw_8bit", "adamw_bnb_8bit", "adamw_torch_8bit", "paged_adamw_8bit"}
_FETCHED = "the service stores the files of a job; `relora jobs download` fetches them"
_PACKED = "relora always packs documents into full sequences"
_ATTENTION = "relora chooses the implementation of attention by itself"
_ITS_OWN = "the config of the model says it"
_PLAIN = "relora trains on plain text, on all of its tokens"
_RESUMES = "a job resumes by itself; `method.warm_start_from` starts from an earlier run"
_KERNELS = "relora has kernels of its own; this changes speed and memory, not what is learnt"

_REASONS = {
    "output_dir": _FETCHED,
    "save_safetensors": _FETCHED,
    "jagged_restart_anneal_steps": "relora does not lower the rate before a restart",
    "merge_lora": "the final model is always merged",
    "hub_model_id": "write it as `output.hub`, with a secret HF_TOKEN that may write there",
    "dataset_prepared_path": "a worker keeps prepared data in its cache by itself",
    "shuffle_merged_datasets": "relora shuffles sequences by `training.seed`",
    "sample_packing": _PACKED,
    "eval_sample_packing": _PACKED,
    "pad_to_sequence_len": _PACKED,
    "group_by_length": _PACKED,
    "flash_attention": _ATTENTION,
    "sdp_attention": _ATTENTION,
    "flex_attention": _ATTENTION,
    "xformers_attention": _ATTENTION,
    "attn_implementation": _ATTENTION,
    "lora_mlp_kernel": _KERNELS,
    "lora_qkv_kernel": _KERNELS,
    "lora_o_kernel": _KERNELS,
    "plugins": _KERNELS,
    "model_type": _ITS_OWN,
    "tokenizer_type": _ITS_OWN,
    "is_llama_derived_model": _ITS_OWN,
    "is_mistral_derived_model": _ITS_OWN,
    "is_qwen_derived_model": _ITS_OWN,
    "trust_remote_code": "relora runs no code from the Hub",
    "special_tokens": "relora uses a pretrained tokenizer as it is",
    "tokens": "relora uses a pretrained tokenizer as it is",
    "chat_template": _PLAIN,
    "train_on_inputs": _PLAIN,
    "resume_from_checkpoint": _RESUMES,
    "auto_resume_from_checkpoints": _RESUMES,
    "lora_model_dir": _RESUMES,
    "num_epochs": "a spec counts steps",
    "evals_per_epoch": "a spec counts steps; set `evaluation.every`",
    "saves_per_epoch": "a spec counts steps; set `checkpoint.every`",
    "eval_strategy": "a spec counts steps; set `evaluation.every`",
    "save_strategy": "a spec counts steps; set `checkpoint.every`",
    "eval_batch_size": "relora evaluates with the micro-batch size",
    "deepspeed": "set `training.parallelism: fsdp` if the model does not fit one GPU",
    "torch_compile": "`training.compile` is on by default",
    "tf32": "relora decides by `training.precision`",
    "gradient_checkpointing_kwargs": "`training.gradient_checkpointing` says all there is",
    "relora_cpu_offload": "relora keeps residuals of frozen weights off the GPU by itself",
    "lora_modules_to_save": "relora always trains embeddings and head, and exports whole models",
    "lora_fan_in_fan_out": "relora knows it from the layer",
    "peft_use_rslora": "relora scales by alpha / rank: multiply `method.alpha` by the root of rank",
    "loraplus_lr_ratio": "both factors have one learning rate",
    "wandb_name": "the run has the name of the job",
    "wandb_run_id": "the run has the id of the job",
    "wandb_watch": "relora reports the norms of gradients and merges by itself",
    "wandb_log_model": _FETCHED,
}
_NOTHING_LIKE_IT = "a spec has nothing like it"

_PREFERENCES = "relora trains on text, and has no training on preferences"
IMPOSSIBLE = {
    "rl": _PREFERENCES,
    "reward_model": _PREFERENCES,
    "process_reward_model": _PREFERENCES,
    "gptq": "weights that are quantized already cannot be trained",
    "peft_use_dora": "relora has no DoRA",
}


Texts = str | list[str]


class DatasetConfig(BaseModel):
    """The location of a dataset, and the field with its text."""

    model_config = ConfigDict(extra="allow")

    path: str
    type: str | None = None
    field: str | None = None
    text_column: str | None = None
    name: str | None = None
    split: str | None = None
    revision: str | None = None
    data_files: Texts | None = None
    ds_type: str | None = None


class Config(BaseModel):
    """The keys of a config that are carried over, with axolotl's defaults.

    The other keys are in `model_extra`.
    """

    model_config = ConfigDict(extra="allow")

    base_model: str
    tokenizer_config: str | None = None
    reinit_weights: bool = False
    datasets: list[DatasetConfig] = []
    test_datasets: list[DatasetConfig] = []
    pretraining_dataset: list[DatasetConfig] = []
    val_set_size: float = 0.0
    sequence_len: int | None = None
    sample_packing: bool = True
    adapter: Literal["lora", "qlora"] | None = None
    load_in_4bit: bool = False
    load_in_8bit: bool = False
    lora_r: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float | None = None
    lora_target_linear: bool = False
    lora_target_modules: Texts | None = None
    relora: bool = False
    relora_prune_ratio: float | None = None
    relora_prune_method: Literal["magnitude", "random", "reset"] = "magnitude"
    jagged_restart_steps: int | None = None
    jagged_restart_warmup_steps: int | None = None
    max_steps: int | None = None
    micro_batch_size: int = 1
    gradient_accumulation_steps: int = 1
    batch_size: int | None = None
    auto_find_batch_size: bool = False
    bf16: bool | str = "auto"
    fp16: bool = False
    seed: int | None = None
    max_grad_norm: float | None = None
    gradient_checkpointing: bool | str = False
    fsdp: object = None
    fsdp_config: object = None
    logging_steps: int | None = None
    optimizer: str = "adamw_torch_fused"
    learning_rate: float
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float | None = None
    weight_decay: float | None = None
    lr_scheduler: str = "cosine"
    warmup_steps: int | None = None
    warmup_ratio: float | None = None
    cosine_min_lr_ratio: float = 0.0
    eval_steps: int | float | None = None
    save_steps: int | float | None = None
    save_total_limit: int | None = None
    use_tensorboard: bool = False
    wandb_project: str | None = None
    wandb_entity: str | None = None
    wandb_mode: str | None = None
    mlflow_tracking_uri: str | None = None
    mlflow_experiment_name: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, keys: dict[str, Any]) -> dict[str, Any]:
        """Drop empty keys, and unknown keys that are off: they ask for nothing."""
        known = {key for key in keys if key in cls.model_fields}
        kept = {key: keys[key] for key in keys if keys[key] not in (None, "")}
        return {key: value for key, value in kept.items() if key in known or value}

    @field_validator("datasets", "test_datasets", "pretraining_dataset", mode="before")
    @classmethod
    def _listed(cls, datasets: object) -> object:
        """Accept a single dataset instead of a list, and a path instead of a dataset."""
        listed = datasets if isinstance(datasets, list) else [datasets]
        return [{"path": one} if isinstance(one, str) else one for one in listed]

    @model_validator(mode="after")
    def _can_be_said(self) -> Self:
        for key, why in IMPOSSIBLE.items():
            if key in (self.model_extra or {}):
                raise SpecConflict(key, why)
        return self

    def notes(self) -> Iterator[tuple[str, str]]:
        """Yield each key that a spec cannot express exactly, and the reason."""
        for key in self.model_extra or {}:
            yield key, _REASONS.get(key, _NOTHING_LIKE_IT)
        for key in ("datasets", "test_datasets", "pretraining_dataset"):
            for other in {other for one in getattr(self, key) for other in one.model_extra}:
                yield f"{key}.{other}", _NOTHING_LIKE_IT
        yield from self._approximated()

    def _approximated(self) -> Iterator[tuple[str, str]]:
        if not self.sample_packing:
            yield "sample_packing", _PACKED
        if not self.test_datasets and not 0 < self.val_set_size < 1:
            yield "val_set_size", "relora always evaluates; it holds out 1% of the data"
        if self.fp16:
            yield "fp16", "the arithmetic of a spec is bf16 or fp32; bf16 is used"
        if self.optimizer not in ADAMW | ADAMW_8BIT:
            yield "optimizer", "relora has adamw and adamw_8bit; adamw is used"
        if self.lr_scheduler not in ({"cosine"} if self.relora else {"cosine", "linear"}):
            yield "lr_scheduler", "relora has no such schedule; a cosine is used"
        if self.jagged_restart_steps and not self.relora:
            yield "jagged_restart_steps", "only `relora: true` has restarts"
        if self.wandb_project:
            yield "wandb_project", "needs `secrets: {WANDB_API_KEY: NAME}` beside the tracker"
