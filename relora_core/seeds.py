"""Seeds for torch's generators, which take 64 bits."""


def generator_seed(number: int) -> int:
    """Return a seed for a number of any size, such as a product of the run's seed and a step."""
    return number % 2**64
