"""Sharded models of tests."""

from typing import Any

from transformers import PreTrainedModel

from relora_core.distributed.world import World
from relora_core.models.meta_parameters import parameters_on_meta
from relora_core.models.parallelize import Sharded, mesh_of
from tests.relora_core.conftest import MakeModel


def sharded(
    world: World, make_model: MakeModel, config: dict[str, Any], *, autocast: bool = False
) -> Sharded:
    """Return what shards models of this config over the ranks of a node."""

    def build() -> PreTrainedModel:
        with parameters_on_meta():
            return make_model(**config)

    return Sharded(world, mesh_of(world, replicas=world.nodes), build, autocast=autocast)
