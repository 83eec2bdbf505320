"""`python -m relora_core.presets`: the model shapes and the recipes that a spec may name."""

import argparse
import sys
from collections.abc import Sequence

from relora_core.estimate.presets_table import as_json, as_text


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m relora_core.presets", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args(arguments)
    sys.stdout.write((as_json() if options.json else as_text()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
