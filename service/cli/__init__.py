"""`relora`: the command line of the service.

Exit codes: 0 success; 1 the job did not succeed, or nothing was found; 2 the command was wrong, or
the service refused it; 3 the service does not answer or is unavailable; 130 interrupted.

With --json, stdout has only one JSON document or, for lists and streams, one JSON object per line.
Messages for a person go to stderr.
"""

from service.cli.program import app, main

__all__ = ["app", "main"]
