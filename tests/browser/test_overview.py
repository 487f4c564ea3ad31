"""The overview in a real browser."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from playwright.sync_api import Locator, expect


def rows(visit) -> list[str]:
    """Return the ids of the rows that the table holds, in their order, once it holds as many as it says."""
    return visit.page.evaluate(
        """async () => {
            const api = await dash_ag_grid.getApiAsync("runs");
            for (let tries = 0; tries < 400; tries++) {
                const found = [], said = document.getElementById("match").textContent.replaceAll(",", "");
                api.forEachNode((node) => node.data && found.push(node.data.run));
                if (found.length === parseInt(said)) return found;
                await new Promise((again) => setTimeout(again, 50));
            }
            throw new Error("the table does not hold the rows that it says");
        }"""
    )


def told(visit, *cells: str) -> list[tuple[str | None, ...]]:
    """Return some cells of every row that the table holds."""
    return [
        tuple(row)
        for row in visit.page.evaluate(
            """async (names) => {
                const found = [], api = await dash_ag_grid.getApiAsync("runs");
                api.forEachNode((node) => node.data && found.push(names.map((name) => node.data[name] ?? null)));
                return found;
            }""",
            list(cells),
        )
    ]


def at(visit, card: str, x: float, y: float) -> None:
    """Click a figure at a place of its axes."""
    graph = visit.page.locator(f"#content .card[aria-label='{card}'] .js-plotly-plot")
    graph.scroll_into_view_if_needed()
    place = graph.evaluate(
        """(gd, [x, y]) => {
            const { xaxis, yaxis } = gd._fullLayout, box = gd.getBoundingClientRect();
            return [box.x + xaxis._offset + xaxis.l2p(x), box.y + yaxis._offset + yaxis.l2p(y)];
        }""",
        [x, y],
    )
    visit.page.mouse.move(*place)
    visit.page.wait_for_timeout(200)  # plotly takes a click for one when it knows what is under it
    visit.page.mouse.click(*place)


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
    expect(page.locator("#progress")).to_contain_text("14 of 16 done")
    expect(page.locator("#progress")).to_contain_text("1 failed")
    expect(page.locator("#sweeps")).to_contain_text("quickstart")
    expect(page).to_have_title("quickstart · gradscope")
    figures = visit.figures()
    assert set(figures) == {"Phase map", "Verdicts"}
    assert all(figure["numbers"] > 4 for figure in figures.values())
    cells = "[...document.querySelectorAll('#runs .ag-cell[col-id=decay_rate]')].filter((one) => one.textContent)"
    assert page.evaluate(cells + ".length") > 4
    assert page.evaluate(cells + ".filter((one) => one.scrollWidth > one.clientWidth).length") == 0  # none is cut


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
    links = page.locator("#runs .run-link", has_text="lstm-20-")
    expect(links).to_have_count(2)
    assert links.first.get_attribute("href") == "/run/lstm-20-0.0"
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
    heading = page.locator("#runs .ag-header-cell[col-id='length']")
    for link, order in ((r"\?cell=LSTM&sort=length$", "ascending"), (r"\?cell=LSTM&sort=-length$", "descending")):
        heading.locator(".ag-header-cell-text").click()
        address(visit, link)
        visit.ready()  # the server has answered
        expect(heading).to_have_attribute("aria-sort", order)
    expect(page.locator("#runs .ag-center-cols-container .ag-row[row-index='0']")).to_have_attribute(
        "row-id", "underflow"
    )


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
        rows(visit)
        page.evaluate(
            """async (run) => {
                const api = await dash_ag_grid.getApiAsync("runs");
                api.ensureIndexVisible(api.getRowNode(run).rowIndex);
            }""",
            run,
        )
        expect(page.locator(f"#runs .ag-row[row-id='{run}'] .verdict")).to_be_visible()
    expect(page.locator("#runs .ag-row[row-id='running'] .verdict")).to_have_text("running")


def test_a_click_on_a_cell_of_the_map_keeps_its_runs_and_can_be_undone(visit):
    page = visit.open("/")
    at(visit, "Phase map", 0, 2)
    address(visit, r"\?where=length=20&where=forget_bias=0\.0$")
    assert rows(visit) == ["lstm-20-0.0", "gru-20-0.0"]
    expect(page.locator("#aside").get_by_text("forget_bias=0.0")).to_be_visible()
    page.get_by_role("textbox", name="Conditions").focus()
    page.keyboard.press("Backspace")
    address(visit, r"\?where=length=20$")
    page.get_by_role("button", name="Clear filters").first.click()
    address(visit, r"/$")
    visit.ready()
    at(visit, "Phase map", 0, 2)
    address(visit, r"\?where=length=20&where=forget_bias=0\.0$")


def test_a_click_on_a_count_keeps_the_runs_of_that_verdict(visit):
    page = visit.open("/")
    at(visit, "Verdicts", 0.5, 1)
    address(visit, r"\?cell=LSTM&verdict=vanishing$")
    expect(chip(visit, "Verdict", "vanishing")).to_be_checked()
    page.get_by_role("button", name="Clear filters").first.click()
    address(visit, r"/$")
    visit.ready()
    failed = page.evaluate(
        """() => {
            const gd = [...document.querySelectorAll(".js-plotly-plot")].at(-1);
            const bar = gd._fullData.findIndex((trace) => trace.name.startsWith("failed"));
            return gd.calcdata[bar].filter((point) => point.s).map((point) => [point.x - 0.5, point.p])[0];
        }"""
    )
    at(visit, "Verdicts", *failed)
    address(visit, r"where=verdict=none&where=status=failed")
    assert rows(visit) == ["failed"]


def test_groups_collapse_the_runs_and_open_at_a_click(visit):
    page = visit.open("/?where=length=20,40")
    page.locator("#group").click()
    page.get_by_role("option", name="Cell", exact=True).click()
    address(visit, r"group=cell$")
    page.keyboard.press("Escape")
    first = page.locator("#runs .ag-row.group-row").first
    expect(first).to_contain_text("4 runs")
    assert [row[:2] for row in told(visit, "cell", "runs")] == [("RNN", 4), ("LSTM", 4), ("GRU", 4)]
    expect(page.locator("#grouped")).to_contain_text("median")
    first.locator("button.fold").click()
    address(visit, r"group=cell&open=cell=RNN$")
    expect(page.locator("#runs .ag-pinned-left-cols-container .member-row")).to_have_count(4)
    page.reload()
    visit.ready()
    expect(page.locator("#runs .ag-pinned-left-cols-container .member-row")).to_have_count(4)
    page.locator("#runs .ag-row.group-row .ag-cell[col-id='cell']").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#runs .ag-pinned-left-cols-container .member-row")).to_have_count(0)
    address(visit, r"group=cell$")


def test_selected_runs_are_compared(visit):
    page = visit.open("/?sort=run")
    button = page.locator("#compare")
    expect(button).to_be_disabled()
    page.locator("#runs .ag-row[row-id='gru-20-0.0'] .ag-selection-checkbox input").click()
    page.locator("#runs .ag-row[row-id='gru-20-2.0'] .ag-cell[col-id='cell']").focus()
    page.keyboard.press("Space")
    expect(button).to_have_text("Compare 2")
    assert page.url.endswith("/?sort=run")
    button.click()
    address(visit, r"/compare\?run=gru-20-0\.0&run=gru-20-2\.0$")


def test_a_trained_run_leads_to_its_training(visit):
    page = visit.open("/?sort=run")
    link = page.locator("#runs .ag-row[row-id='gru-20-0.0'] .run-course")
    assert link.get_attribute("href") == "/training/gru-20-0.0?sort=run"
    assert page.locator("#runs .ag-row[row-id='diverged'] .run-course").count() == 0
