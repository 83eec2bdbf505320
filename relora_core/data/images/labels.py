"""Number the labels of images."""

import numpy as np
from numpy.typing import NDArray

from relora_core.data.images.sources import EncodedImage
from relora_core.errors import DataError


class Labels:
    """Labels and their numbers.

    Given names keep their order. Otherwise names are numbered as they are found, and sorted at the
    end.
    """

    def __init__(self, given: list[str] | None) -> None:
        self._given = given
        self._numbers = {name: number for number, name in enumerate(given or [])}

    def number(self, image: EncodedImage) -> int:
        """Return the preliminary number of the image's label.

        Raise `DataError` if the label is not one of the given names.
        """
        if self._given is not None and image.label not in self._numbers:
            raise DataError(
                f"{image.where} has the label {image.label!r}, which the training data lacks; it "
                f"has {_shortened(self._given)}"
            )
        return self._numbers.setdefault(image.label, len(self._numbers))

    @property
    def names(self) -> list[str]:
        """The names in their final order. If all are numbers, they are sorted by value."""
        if self._given is not None:
            return self._given
        numeric = all(name.isdecimal() for name in self._numbers)
        return sorted(self._numbers, key=lambda name: (int(name) if numeric else 0, name))

    def final(self, numbers: list[int]) -> NDArray[np.uint32]:
        """Convert preliminary numbers from `number` to positions in `names`."""
        places = {name: place for place, name in enumerate(self.names)}
        table = np.array([places[name] for name in self._numbers], dtype="<u4")
        return table[np.array(numbers, dtype=np.int64)]


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
