"""The overview in a real browser."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from playwright.sync_api import Locator, expect


def rows(visit) -> list[str]:
    """Return the ids of the rows that the table holds, in their order."""
    return visit.page.evaluate(
        """async () => {
            const found = [], api = await dash_ag_grid.getApiAsync("runs");
            api.forEachNodeAfterFilterAndSort((node) => found.push(node.data.run));
            return found;
        }"""
    )


def address(visit, pattern: str) -> None:
    """Wait until the address bar shows a pattern."""
    visit.page.wait_for_url(lambda url: bool(re.search(pattern, unquote(url))), wait_until="commit")


def chip(visit, name: str, value: str) -> Locator:
    """Return the box of a chip."""
    return visit.page.locator(f"#aside .chips:has(legend:text-is('{name}')) input[value='{value}']")


def press(visit, name: str, value: str) -> None:
    """Press a chip."""
    visit.page.locator(f"#aside .chips:has(legend:text-is('{name}')) .chip", has_text=value).locator("label").click()


def test_lists_the_runs_and_draws_both_figures(visit):
    page = visit.open("/")
    assert len(rows(visit)) == visit.runs
    expect(page.locator("#match")).to_have_text(f"{visit.runs} runs")
    expect(page.locator("#progress")).to_contain_text("14 done")
    expect(page.locator("#progress")).to_contain_text("1 failed")
    expect(page.locator("#sweeps")).to_contain_text("quickstart")
    expect(page).to_have_title("quickstart · gradscope")
    figures = visit.figures()
    assert set(figures) == {"Phase map", "Verdicts"}
    assert all(figure["numbers"] > 4 for figure in figures.values())


def test_tells_what_is_the_same_in_every_run_and_gives_it_no_column(visit):
    page = visit.open("/")
    expect(page.locator("#constant")).to_contain_text("gain 1")
    headings = page.locator("#runs .ag-header-cell-text").all_inner_texts()
    assert "Length" in headings
    assert "Gain" not in headings


def test_a_click_on_a_row_opens_the_run_and_the_way_back_keeps_the_filters(visit):
    page = visit.open("/?cell=GRU")
    page.locator("#runs .ag-row[row-id='gru-20-0.0'] .ag-cell[col-id='cell']").click()
    address(visit, r"/run/gru-20-0\.0\?cell=GRU$")
    visit.ready()
    expect(page.locator("h1")).to_contain_text("GRU, 8 units")
    page.get_by_role("link", name="All runs").click()
    address(visit, r"/\?cell=GRU$")
    visit.ready()
    expect(page.locator("#match")).to_have_text(f"4 of {visit.runs} runs")


def test_the_link_of_a_run_and_the_enter_key_open_it_too(visit):
    page = visit.open("/")
    expect(page.get_by_role("link", name="lstm-20-")).to_have_count(2)
    assert page.get_by_role("link", name="lstm-20-").first.get_attribute("href") == "/run/lstm-20-0.0"
    page.locator("#runs .ag-row[row-id='rnn-20-None'] .ag-cell[col-id='cell']").focus()
    page.keyboard.press("Enter")
    address(visit, r"/run/rnn-20-None$")
    visit.ready()


def test_chips_filter_everything_and_stand_in_the_link(visit):
    page = visit.open("/")
    press(visit, "Cell", "LSTM")
    address(visit, r"\?cell=LSTM$")
    expect(page.locator("#match")).to_have_text(f"5 of {visit.runs} runs")
    assert {run.split("-")[0] for run in rows(visit)} == {"lstm", "underflow"}
    press(visit, "Verdict", "vanishing")
    address(visit, r"\?cell=LSTM&verdict=vanishing$")
    page.go_back()
    address(visit, r"\?cell=LSTM$")
    expect(chip(visit, "Verdict", "vanishing")).not_to_be_checked()
    expect(page.locator("#match")).to_have_text(f"5 of {visit.runs} runs")


def test_a_link_opens_the_view_again(visit):
    page = visit.open("/?when=last&cell=LSTM&cell=GRU&where=length>=40&x=forget_bias&y=cell&sort=-length&value=horizon")
    expect(chip(visit, "Cell", "LSTM")).to_be_checked()
    expect(chip(visit, "Cell", "RNN")).not_to_be_checked()
    expect(page.locator("#aside").get_by_text("length>=40")).to_be_visible()
    expect(page.locator("#when input:checked")).to_have_value("last")
    assert rows(visit) == ["underflow", "lstm-40-0.0", "lstm-40-2.0", "gru-40-0.0", "gru-40-2.0"]
    assert page.locator("#value").input_value() == "Horizon"
    assert page.locator("#x").input_value() == "Forget bias"
    expect(page.locator("#when-note")).to_contain_text("had no training")


def test_the_filter_of_a_column_becomes_a_condition_and_goes_with_it(visit):
    page = visit.open("/")
    model = {"length": {"filterType": "number", "type": "greaterThan", "filter": 20}}
    page.evaluate("async (model) => (await dash_ag_grid.getApiAsync('runs')).setFilterModel(model)", model)
    address(visit, r"\?where=length>20$")
    expect(page.locator("#aside").get_by_text("length>20")).to_be_visible()
    expect(page.locator("#match")).to_have_text(re.compile(rf"\d+ of {visit.runs} runs"))
    page.get_by_role("button", name="Clear filters").first.click()
    address(visit, r"/$")
    expect(page.locator("#match")).to_have_text(f"{visit.runs} runs")
    assert page.evaluate("async () => (await dash_ag_grid.getApiAsync('runs')).getFilterModel()") == {}


def test_a_condition_is_typed_and_a_wrong_one_explained(visit):
    page = visit.open("/")
    box = page.get_by_role("textbox", name="Conditions")
    box.fill("length>=40")
    box.press("Enter")
    address(visit, r"\?where=length>=40$")
    box.fill("lenght>1")
    box.press("Enter")
    expect(page.locator("#aside")).to_contain_text("Did you mean 'length'?")
    assert len(rows(visit)) < visit.runs


def test_a_click_on_a_heading_sorts_and_stands_in_the_link(visit):
    page = visit.open("/?cell=LSTM")
    page.locator("#runs .ag-header-cell[col-id='length'] .ag-header-cell-text").click()
    address(visit, r"\?cell=LSTM&sort=length$")
    page.locator("#runs .ag-header-cell[col-id='length'] .ag-header-cell-text").click()
    address(visit, r"\?cell=LSTM&sort=-length$")
    assert rows(visit)[0] == "underflow"


def test_further_columns_are_chosen_from_a_list(visit):
    page = visit.open("/")
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("checkbox", name="Half life").check(force=True)
    address(visit, r"\?column=half_life$")
    shown = "async () => (await dash_ag_grid.getApiAsync('runs')).getColumns().map((column) => column.getColId())"
    assert "half_life" in page.evaluate(shown)


def test_the_phase_map_takes_any_parameter_and_metric(visit):
    page = visit.open("/")
    page.locator("#y").click()
    page.get_by_role("option", name="Cell", exact=True).click()
    address(visit, r"\?x=length&y=cell$")
    expect(page.locator(".map .js-plotly-plot").first).to_contain_text("LSTM")


def test_nothing_matches_has_a_way_out(visit):
    page = visit.open("/?cell=GRU&where=length>900")
    expect(page.get_by_role("heading", name="No run matches these filters")).to_be_visible()
    expect(page.locator("#no-match-text")).to_have_text(
        f"{visit.runs} runs in the store, 0 match cell = GRU and length>900."
    )
    page.locator("#clear-all").click()
    expect(page.locator("#match")).to_have_text(f"{visit.runs} runs")
    expect(page.locator(".plot.is-drawn")).to_have_count(2)
    assert visit.figures()["Phase map"]["numbers"] > 4


def test_bad_values_in_a_link_fall_back(visit):
    page = visit.open("/?when=never&x=nonsense&value=nonsense&sort=nonsense&sweep=99&column=nonsense&unknown=1")
    expect(page.locator("#match")).to_have_text(f"{visit.runs} runs")
    assert page.locator("#value").input_value() == "Decay rate"


@pytest.mark.parametrize("path", ["/", "/run/failed"])
def test_names_from_a_store_are_text(visit, path):
    page = visit.open(path)
    expect(page.get_by_text(visit.markup).first).to_be_attached()
    assert page.evaluate("window.hurt") is None
    assert page.locator("img[src='x']").count() == 0


def test_running_and_failed_runs_are_told_in_the_table(visit):
    page = visit.open("/?sort=run")
    for run in ("failed", "running"):
        page.evaluate(
            "async (run) => (await dash_ag_grid.getApiAsync('runs')).ensureNodeVisible((n) => n.id === run)", run
        )
        expect(page.locator(f"#runs .ag-row[row-id='{run}'] .verdict")).to_be_visible()
    expect(page.locator("#runs .ag-row[row-id='running'] .verdict")).to_have_text("running")
