"""How long the parts of a request may be, in characters."""

MAX_NAME, MAX_PATH, MAX_HEADER = 100, 2000, 16_384
