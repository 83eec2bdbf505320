"""The page `/docs`: the API in Swagger UI, without files from other hosts.

The files of Swagger UI come from the package `fastapi_swagger`. Links are relative, so that the
page also works behind a proxy that adds a path.
"""

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

FILES = ("fastapi_swagger", "resources")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>relora API</title>
<link rel="icon" href="docs/files/favicon-32x32.png">
<link rel="stylesheet" href="docs/files/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>Without JavaScript, read <a href="openapi.json">openapi.json</a>.</noscript>
<script src="docs/files/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
"""
# The browser loads nothing from other hosts and runs only the server's scripts, whatever the
# OpenAPI document contains.
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_docs(app: FastAPI) -> None:
    """Add the page `/docs`. OpenAPI does not list it."""
    app.mount("/docs/files", StaticFiles(packages=[FILES]))

    @app.get("/docs", include_in_schema=False)
    def page() -> Response:
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})

    @app.get("/docs/start.js", include_in_schema=False)
    def start() -> Response:
        return Response(START, media_type="text/javascript")
