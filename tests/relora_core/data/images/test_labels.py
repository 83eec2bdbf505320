import pytest

from relora_core.data.images.labels import Labels
from relora_core.data.images.sources import EncodedImage
from relora_core.errors import DataError


def image(label: str) -> EncodedImage:
    return EncodedImage("here", b"", label)


def numbered(labels: Labels, *names: str) -> list[int]:
    return labels.final([labels.number(image(name)) for name in names]).tolist()


def test_labels_are_numbered_in_the_order_of_their_names() -> None:
    labels = Labels(None)
    assert numbered(labels, "dog", "cat", "dog", "bird") == [2, 1, 2, 0]
    assert labels.names == ["bird", "cat", "dog"]


def test_numbers_as_names_go_by_their_value() -> None:
    labels = Labels(None)
    assert numbered(labels, "10", "9") == [1, 0]


def test_given_names_keep_their_order_and_allow_no_other() -> None:
    labels = Labels(["dog", "cat", "never seen"])
    assert numbered(labels, "cat", "dog") == [1, 0]
    assert labels.names == ["dog", "cat", "never seen"]
    with pytest.raises(DataError, match="here has the label 'bird', which the training data lack"):
        labels.number(image("bird"))
