"""How a page looks: in both themes, on a phone, and to axe-core."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from service.http.dashboard import FOLDER
from tests.fixtures.tiers import missing

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

AXE = FOLDER.parent.parent / "dashboard/node_modules/axe-core/axe.min.js"
PICTURES = Path(os.environ.get("SCREENSHOTS", "build/screenshots"))
PHONE: "ViewportSize" = {"width": 390, "height": 844}
# What hinders people who need a screen reader, a keyboard or strong contrast.
_FIND = """
async () => (await axe.run({resultTypes: ["violations"]})).violations
    .filter(({impact}) => impact === "serious" || impact === "critical")
    .flatMap(({id, nodes}) => nodes.map(one => `${id}: ${one.target}\\n${one.failureSummary}`))
"""


def look(page: "Page", name: str) -> None:
    """Keep a picture of the page in both themes and on a phone, and require that axe is content."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    asked = str(page.evaluate("document.documentElement.dataset.theme"))
    size = page.viewport_size
    assert size is not None
    found = [finding for theme in ("light", "dark") for finding in _in_theme(page, name, theme)]
    if size["width"] > PHONE["width"]:
        page.set_viewport_size(PHONE)
        found += _in_theme(page, f"{name}-phone", asked)
        page.set_viewport_size(size)
    _show(page, asked)
    assert not found, "\n".join(found)


def _in_theme(page: "Page", name: str, theme: str) -> list[str]:
    _show(page, theme)
    page.screenshot(path=PICTURES / f"{name}-{theme}.png")
    return [f"{name}, {theme}: {finding}" for finding in findings(page)]


def _show(page: "Page", theme: str) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
    page.wait_for_timeout(100)  # charts draw in the next frames


def findings(page: "Page") -> list[str]:
    """What axe-core finds that is serious or critical."""
    if not page.evaluate("'axe' in window"):
        if not AXE.exists():
            missing("axe-core is missing; install it: make dashboard")
        page.evaluate(AXE.read_text())
    found: list[str] = page.evaluate(_FIND)
    return found
