"""The names of secrets in a spec: environment variables, each with the name of a secret.

A spec never holds the value of a secret. A person may write a value by mistake where a name
belongs. So no error message repeats the text that stands there.
"""

import re
from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from relora_core.spec import SpecConflict, TextPattern

_NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$"
# Only names of credentials, so that a job cannot change how its trainer process runs.
_VARIABLE = r"^[A-Z][A-Z0-9_]*_(TOKEN|KEY|KEY_ID|SECRET|PASSWORD|USERNAME)$"

S3_KEY_ID, S3_KEY, S3_TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
S3_VARIABLES = (S3_KEY_ID, S3_KEY, S3_TOKEN)
HUB_TOKEN = "HF_TOKEN"  # noqa: S105 # the variable's name

SecretName = Annotated[
    str,
    TextPattern(
        _NAME,
        "at most 64 letters, digits, `.`, `_` and `-`, with a letter or a digit at both ends",
    ),
]


def _check_name(name: str) -> str:
    if not re.fullmatch(_NAME, name):
        raise ValueError(
            "is no name of a secret; store the value as a secret, and give its "
            "name: letters, digits, `.`, `_` and `-`, at most 64"
        )
    return name


def _check_variable(variable: str) -> str:
    if not re.fullmatch(_VARIABLE, variable) or variable.startswith("RELORA_"):
        raise ValueError(
            f"{variable[:80]!r} cannot be set; a variable of a secret ends in _TOKEN, _KEY, "
            "_KEY_ID, _SECRET, _PASSWORD or _USERNAME, and RELORA_ is the service's own"
        )
    return variable


SecretReference = Annotated[
    str,
    AfterValidator(_check_name),
    WithJsonSchema({"type": "string", "maxLength": 64, "pattern": _NAME}),
]
SecretVariable = Annotated[
    str, AfterValidator(_check_variable), WithJsonSchema({"type": "string", "pattern": _VARIABLE})
]
SecretNames = Annotated[dict[SecretVariable, SecretReference], Field(max_length=32)]


def check_s3_variables(variables: Collection[str]) -> None:
    """Raise `SpecConflict` if only a part of the S3 credentials is given."""
    given = [variable for variable in S3_VARIABLES if variable in variables]
    for needed in (S3_KEY_ID, S3_KEY):
        if given and needed not in variables:
            raise SpecConflict(f"secrets.{given[0]}", f"needs {needed} beside it")
