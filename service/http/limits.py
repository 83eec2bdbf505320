"""The maximum lengths of names, paths and headers in a request, in characters."""

MAX_NAME, MAX_PATH, MAX_HEADER = 100, 2000, 16_384
