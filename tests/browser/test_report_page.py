"""The report in a real browser without a network: every figure is drawn, in both themes, and nothing is asked for."""

from __future__ import annotations

import pytest
import sample_records
from playwright.sync_api import Browser, expect

from gradscope.report import report
from gradscope.store import Store

MARKUP = "<img src=x onerror=window.hurt=1>"


@pytest.fixture
def path(tmp_path):
    with Store(tmp_path / "r.db", "w") as store:
        sweep = store.add_sweep(f"names {MARKUP}", {})
        for number, cell in enumerate(("LSTM", "GRU", "RNN")):
            config = {"cell": cell, "length": 20 + number, "note": MARKUP}
            store.start_run(f"run{number}", sweep, config)
            store.finish_run(f"run{number}", {0: sample_records.sample(cell, length=20, batch=4, hidden=4)}, {}, 1.0)
        return report(store, tmp_path / "r.html", runs=["run0"])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_works_without_a_network(browser: Browser, path, theme):
    context = browser.new_context(offline=True, color_scheme=theme, viewport={"width": 1200, "height": 900})
    page, faults, asked = context.new_page(), [], []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    plots = page.locator(".plot")
    for number in range(plots.count()):
        plots.nth(number).scroll_into_view_if_needed()
        expect(plots.nth(number).locator(".main-svg").first).to_be_visible()
    assert plots.count() > 10
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", theme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Light" if theme == "dark" else "Dark").click()
    expect(root).to_have_attribute("data-theme", "light" if theme == "dark" else "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background
    assert page.evaluate("window.hurt") is None
    assert MARKUP in page.locator("h2").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert faults == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()
