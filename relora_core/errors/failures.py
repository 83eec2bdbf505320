"""What people are told when another server fails: never what it answered.

That may come from a server which this machine reaches and the person does not.
"""

from collections.abc import Iterator


def summary(error: BaseException) -> str:
    """The class of the error, with the HTTP status that the server answered."""
    status = getattr(_answer(error), "status_code", None)
    return type(error).__name__ + (f" (HTTP status {status})" if status else "")


def reason(error: BaseException) -> str:
    """What a library says, unless it quotes an answer; then the `summary`."""
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
