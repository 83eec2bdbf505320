"""What the data of a run is known by: the names of its sources' contents."""

from collections.abc import Mapping

Contents = Mapping[str, str | int]
