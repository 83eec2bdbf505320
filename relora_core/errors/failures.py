"""Describe failures of other servers for users, without the answer of the server.

The answer may come from a server that this machine can reach and the user cannot.
"""

from collections.abc import Iterator


def summary(error: BaseException) -> str:
    """Return the class name of the error, with the HTTP status of the answer if there is one."""
    status = getattr(_answer(error), "status_code", None)
    return type(error).__name__ + (f" (HTTP status {status})" if status else "")


def reason(error: BaseException) -> str:
    """Return the message of a library's error, or its `summary` if it quotes a server's answer."""
    for cause in _causes(error):
        if _answer(cause) is not None and str(cause) in str(error):
            return summary(cause)
    return str(error)


def _answer(error: BaseException) -> object | None:
    return getattr(error, "response", None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
