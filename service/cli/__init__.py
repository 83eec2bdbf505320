"""`relora`: the service on the command line.

Exit codes: 0 done; 1 the job did not succeed, or there is nothing; 2 the command was wrong or the
service refused it; 3 the service does not answer, or cannot now; 130 interrupted.

With --json, stdout has one JSON document, or of lists and streams one JSON object a line, and
nothing else; what is to be said to a person goes to stderr.
"""

from service.cli.program import app, main

__all__ = ["app", "main"]
