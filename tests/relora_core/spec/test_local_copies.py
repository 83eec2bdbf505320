"""Models and tokenizers are read from where they lie."""

from relora_core.spec import PretrainedModel, PretrainedTokenizer
from relora_core.spec.local_copies import with_copies
from tests.relora_core.conftest import MakeSpec


def test_the_uri_of_a_folder_is_read_as_a_path(make_spec: MakeSpec) -> None:
    spec = make_spec().model_copy(
        update={
            "model": PretrainedModel(pretrained="file:///models/my%20model"),
            "tokenizer": PretrainedTokenizer(pretrained="job://job_1/final"),
        }
    )
    local = with_copies(spec, {"job://job_1/final": "/cache/1"})
    assert local.model == PretrainedModel(pretrained="/models/my model")
    assert local.tokenizer == PretrainedTokenizer(pretrained="/cache/1")
