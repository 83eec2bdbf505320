"""What people are told when another server fails."""


def summary(error: BaseException) -> str:
    """The class of the error, with the status that the server answered.

    Never its text: that quotes the answer, of a server that perhaps only the worker can reach.
    """
    status = getattr(getattr(error, "response", None), "status_code", None)
    return type(error).__name__ + (f" (HTTP status {status})" if status else "")
