"""Whether everybody can use a page: what axe finds serious, and what a screen leaves no place for."""

import json
from typing import Any

import pytest

UNREACHABLE = """() => {
  const wide = document.documentElement.scrollWidth;
  const wrong = wide > innerWidth ? [`the page is ${wide} wide`] : [];
  for (const each of document.querySelectorAll("button, a[href], select, input")) {
    if (!each.checkVisibility({ visibilityProperty: true }) || each.matches(".unseen, .skip, :disabled")) continue;
    each.scrollIntoView({ block: "center", inline: "nearest" });
    const { left, right, top, bottom } = each.getBoundingClientRect();
    const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    const name = `${each.tagName} ${each.id || each.textContent.trim()}`;
    if (left < 0 || right > innerWidth || top < 0 || bottom > innerHeight) wrong.push(`${name} is off the screen`);
    else if (!each.contains(hit)) wrong.push(`${name} is covered by ${hit?.tagName} ${hit?.className}`);
  }
  return wrong;
}"""
"""Controls that can't be clicked, even after the page was scrolled to them."""


def unreachable(page: Any) -> list[str]:
    """What lies beyond the screen, and controls that can't be clicked."""
    found: list[str] = page.evaluate(UNREACHABLE)
    return found


def serious(page: Any) -> list[str]:
    """What axe-core finds serious or critical."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    # The policy keeps scripts out that are not the room's; axe comes in by the debugger, which it does not bind.
    found = axe.run(page).response
    assert found["passes"]
    return [
        f"{each['id']}: {json.dumps(each['nodes'][0]['target'])}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
