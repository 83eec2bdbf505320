"""The type of the fingerprints that identify the data of a run."""

from collections.abc import Mapping

DataFingerprints = Mapping[str, str | int]
