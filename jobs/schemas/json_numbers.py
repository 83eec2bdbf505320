"""Numbers that every reader of JSON has exactly."""

MAX_WHOLE = 2**53 - 1  # the largest whole number that all readers of JSON have exactly
