"""The page that compares, in a real browser."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from conftest import MARKUP, Site, Visit
from playwright.sync_api import Route, expect

from gradscope.record import Field, Record
from gradscope.store import Store

GROUPS = 45
RUNS = "?run=lstm-20-0.0&run=gru-20-0.0&run=rnn-20-None"


def tiny(rate: float, length: int = 12, unit: str = "log10", sequences: int = 3) -> Record:
    """Return a record of two arrays, whose logs fall at a rate."""
    values = -rate * np.arange(length, -1, -1.0)[:, None] * np.linspace(0.9, 1.1, sequences)
    entry = Field("transport", values, ("time", "batch"), unit)
    units = Field("unit_gradient", values - 1, ("time", "unit"), unit)
    summary = {"decay_rate": rate, "horizon": 5.0, "verdict": "vanishing", "verdict_text": "vanishing: e^-2"}
    return Record(
        {"transport": entry, "unit_gradient": units},
        summary,
        {"length": length, "dtype": "float64", "cell": {"cell": "LSTM"}},
    )


def add(store: Store, sweep: int, run: str, rate: float, unit: str = "log10", **config: Any) -> None:
    """Write one tiny run."""
    store.start_run(run, sweep, {"cell": "LSTM", "hidden_size": 4, "length": 12, "seed": 0, **config})
    store.finish_run(run, {0: tiny(rate, unit=unit)})


def fill(path: Path) -> None:
    """Write a store of many groups, one of them named with markup, and of a run in another unit."""
    with Store(path, "w") as store:
        sweep = store.add_sweep("crowd", {})
        for number in range(GROUPS):
            add(store, sweep, f"run{number:02}", 0.01 * number + 0.01, gain=number / 10, kind="plain")
        for seed in range(3):
            add(store, sweep, f"odd{seed}", 0.2 + 0.1 * seed, gain=9.0, kind=MARKUP, seed=seed)
        add(store, sweep, "unit", 0.2, unit="1", gain=10.0, kind="unit")
        store.start_run("late", sweep, {"cell": "LSTM", "length": 12, "gain": 11.0, "kind": "late", "seed": 0})


@pytest.fixture(scope="module")
def crowd(serve: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return the dashboard over a store of many groups."""
    path = tmp_path_factory.mktemp("crowd") / "crowd.db"
    fill(path)
    return serve(path)


def address(visit: Visit, pattern: str) -> None:
    """Wait until the address bar shows a pattern."""
    visit.page.wait_for_url(lambda url: bool(re.search(pattern, unquote(url))), wait_until="commit")
    visit.ready()


def legend(visit: Visit, card: str = "Transport to the last state") -> list[str]:
    """Return what the legend of a card says."""
    return visit.figures()[card]["legend"]


def press(visit: Visit, switch: str, word: str) -> None:
    """Press a word of a switch at the side."""
    visit.page.get_by_role("radiogroup", name=switch).locator("label", has_text=re.compile(f"^{word}$")).click()


def pick(visit: Visit, box: str, option: str) -> None:
    """Choose an option of a box at the side, and close the list."""
    visit.page.get_by_role("textbox", name=box, exact=True).click()
    visit.page.get_by_role("option", name=option, exact=True).click()
    visit.page.keyboard.press("Escape")


def hues(visit: Visit) -> dict[str, str]:
    """Return the colour of each line that the legend names, by its name."""
    return visit.page.evaluate(
        """() => Object.fromEntries(
            document.querySelector("#compare-cards .js-plotly-plot")._fullData
                .filter((trace) => trace.showlegend && trace.mode.includes("lines") && trace.line.width === 2)
                .map((trace) => [trace.name, trace.line.color]))"""
    )


def test_proposes_groups_and_draws_them_with_no_click(visit):
    page = visit.open("/")
    page.get_by_role("link", name="Compare", exact=True).click()
    page.wait_for_url("**/compare")
    visit.ready()
    expect(page.locator("#compare-said")).to_have_text(
        re.compile(r"^14 runs in \d groups by .+2 runs without a record")
    )
    drawn = visit.figures()
    assert len(drawn) == 5
    assert "heatmap" in drawn["State gradient by unit"]["traces"]
    for name, figure in drawn.items():
        assert figure["numbers"] > 1, name
        assert ("10–90 % of runs" in figure["legend"]) == (name != "State gradient by unit"), name
    groups = page.locator("#compare-table tbody tr").count()
    assert groups == int(page.locator("#compare-said").inner_text().split(" groups")[0].split()[-1])
    assert page.locator(".proposal.is-on").count() == 1
    page.locator(".proposal", has_text=re.compile("^Cell$")).click()
    address(visit, r"/compare\?by=cell$")
    expect(page.locator("#compare-table tbody tr")).to_have_count(3)
    assert legend(visit)[:3] == ["RNN", "LSTM", "GRU"]
    page.locator("#compare-table tbody a").first.click()
    page.wait_for_url(lambda url: "where=cell" in url)


def test_runs_are_laid_over_one_another_taken_out_and_found(visit):
    page = visit.open("/compare" + RUNS)
    expect(page.locator("#compare-said")).to_have_text("3 runs.")
    expect(page.locator("#compare-table tbody tr")).to_have_count(3)
    before = hues(visit)
    assert len(set(before.values())) == len(before) == 3
    page.locator(".compare-runs .mantine-MultiSelect-pill", has_text="GRU").locator("button").click(force=True)
    address(visit, r"run=lstm-20-0.0&run=&run=rnn-20-None$")
    assert set(hues(visit).values()) == {before[name] for name in before if not name.startswith("GRU")}
    page.get_by_role("textbox", name="Runs", exact=True).fill("gru forget 2 40")
    expect(page.get_by_role("option")).to_have_count(1)
    page.get_by_role("option").click()
    address(visit, r"run=lstm-20-0.0&run=gru-40-2.0&run=rnn-20-None$")
    assert before[next(name for name in before if name.startswith("GRU"))] in hues(visit).values()
    page.locator("#compare-table tbody a").first.click()
    page.wait_for_url("**/run/lstm-20-0.0")


def test_every_control_is_in_the_link_and_the_link_reopens_the_view(visit):
    page = visit.open("/compare?by=cell&where=task%3Ddigits_delayed&where=iterations%3D60&probe=transport")
    assert page.locator("#compare-table thead").inner_text().split()[:2] == ["Group", "Runs"]
    page.get_by_role("switch", name="Each run as a thin line").click()
    address(visit, "members=1")
    traces = len(visit.figures()["Transport to the last state"]["traces"])
    press(visit, "Bands hold", "All runs")
    address(visit, "band=all")
    assert "least to largest run" in legend(visit)
    press(visit, "Places counted", "From the start")
    address(visit, "align=start")
    assert len(visit.figures()["Transport to the last state"]["traces"]) == traces
    press(visit, "Before or after training", "Both")
    address(visit, "when=both")
    assert "LSTM, after training" in legend(visit)
    pick(visit, "A panel for each", "Length")
    address(visit, "facet=length")
    expect(page.locator(".compare-card .annotation-text", has_text="length 40")).to_have_count(1)
    pick(visit, "Figures", "Gate saturation")
    address(visit, "probe=transport&probe=gate_saturation")
    part = page.get_by_role("textbox", name="Part that the card Gate saturation shows")
    expect(part).to_have_attribute("placeholder", "keeping gate, right")
    part.click()
    page.get_by_role("option", name="candidate, left", exact=True).click()
    address(visit, "part=gate_saturation:candidate, left")
    pick(visit, "Group by", "Forget bias")
    address(visit, "by=cell&by=forget_bias")
    names = legend(visit)
    page.reload()
    visit.ready()
    assert legend(visit) == names
    expect(part).to_have_value("candidate, left")
    expect(page.get_by_role("radiogroup", name="Bands hold").locator("input:checked")).to_have_value("all")
    expect(page.locator("#compare-members")).to_be_checked()
    page.go_back()
    page.go_back()
    expect(page.locator("#compare-table tbody tr").first).to_be_visible()


def test_the_difference_of_two_and_of_no_other_number(visit):
    page = visit.open("/compare?run=lstm-40-0.0&run=lstm-20-0.0&probe=transport")
    press(visit, "Show", "Difference")
    address(visit, "show=difference")
    assert any("/" in name for name in legend(visit))
    expect(page.locator(".compare-card .caption")).to_contain_text("divided by")
    expect(page.locator(".compare-card")).to_contain_text("The axes do not match")
    visit.open("/compare" + RUNS + "&show=difference&probe=transport")
    expect(page.locator("#compare-troubles")).to_contain_text(
        "A difference needs exactly two runs or groups; these are 3"
    )
    expect(page.locator(".plot-notice").first).to_contain_text("Choose two")


def test_says_what_of_a_link_it_cannot_follow(visit):
    page = visit.open("/compare?run=lstm-20-0.0&run=%3Cb%3Enobody&by=colour&where=size&facet=shape&probe=noise&when=x")
    troubles = page.locator("#compare-troubles")
    for text in (
        "no run <b>nobody",
        "No run has a parameter colour",
        "shape",
        "no probe noise",
        "`where` must be a name",
    ):
        expect(troubles).to_contain_text(text)
    expect(page.locator("#compare-table tbody tr")).to_have_count(1)
    assert "5–95 % of sequences" in legend(visit)
    visit.open("/compare?run=nobody")
    expect(page.locator("#content")).to_contain_text("There is nothing to compare")
    visit.open("/compare?where=length%3E1000000")
    expect(page.locator("#content")).to_contain_text("No run matches")
    page.get_by_role("link", name="Compare all runs").click()
    page.wait_for_url("**/compare")
    expect(page.locator("#compare-said")).to_contain_text("runs in")


def test_a_probe_that_some_or_all_lack_is_said(visit):
    page = visit.open("/compare?by=cell&where=iterations%3D60&probe=retention&probe=routes")
    expect(page.locator(".compare-card").first).to_contain_text("Left out: 2 of 10 runs (Retention")
    visit.open("/compare?run=rnn-20-None&run=rnn-40-None&probe=retention")
    expect(page.locator(".compare-card")).to_contain_text("None of these runs has it.")


def test_more_groups_than_are_drawn_are_said_and_offered(crowd, visit):
    visit.address = crowd.address
    page = visit.open("/compare?by=gain&where=kind=plain")
    expect(page.locator("#compare-said")).to_have_text(f"40 runs in 40 of {GROUPS} groups by gain.")
    expect(page.locator("#compare-troubles")).to_contain_text(f"40 of {GROUPS} groups are drawn.")
    page.get_by_role("link", name=f"Draw all {GROUPS}").click()
    address(visit, f"most={GROUPS}")
    expect(page.locator("#compare-table tbody tr")).to_have_count(GROUPS)
    assert len([name for name in legend(visit) if name.startswith("gain")]) == GROUPS


UNITS = "State gradient by unit"


def maps(visit: Visit) -> dict[str, Any]:
    """Return of the first card what stands above its tiles, their values from the left, and the colours."""
    return visit.page.evaluate(
        """() => {
            const gd = document.querySelector("#compare-cards .js-plotly-plot");
            const drawn = gd._fullData.filter((one) => one.type === "heatmap" && one.coloraxis);
            return {
                headings: gd._fullLayout.annotations.filter((one) => one.name === "panel").map((one) => one.text),
                means: drawn.map((one) => {
                    const all = one.z.flatMap((row) => [...row]).filter((number) => isFinite(number));
                    return all.reduce((sum, number) => sum + number, 0) / all.length;
                }),
                ends: [gd._fullLayout.coloraxis.cmin, gd._fullLayout.coloraxis.cmax],
                title: gd._fullLayout.yaxis.title.text,
            };
        }"""
    )


def choose(visit: Visit, box: str, option: str) -> None:
    """Choose an option in a card."""
    visit.page.get_by_role("textbox", name=box).click()
    visit.page.get_by_role("option", name=option, exact=True).click()


def test_maps_of_groups_stand_side_by_side_in_one_colour_scale(visit):
    page = visit.open("/compare?by=cell&where=iterations%3D60&probe=unit_gradient")
    shown = maps(visit)
    assert [text.replace("<b>", "").replace("</b>", "") for text in shown["headings"]] == [
        "RNN · 2 runs",
        "LSTM · 4 runs",
        "GRU · 4 runs",
    ]
    assert len(shown["means"]) == 3
    assert shown["title"] == "unit rank, by mean"
    expect(page.locator(".compare-card .caption")).to_contain_text("its units sorted by their mean first")
    choose(visit, f"How the card {UNITS} is drawn", "Map, units as numbered")
    address(visit, "view=unit_gradient:numbered$")
    assert maps(visit)["title"] == "unit"
    choose(visit, f"How the card {UNITS} is drawn", "Curves")
    address(visit, "view=unit_gradient:curves$")
    assert "10–90 % of runs" in legend(visit, UNITS)
    page.reload()
    visit.ready()
    assert "10–90 % of runs" in legend(visit, UNITS)
    choose(visit, f"How the card {UNITS} is drawn", "Map, units by rank")
    address(visit, "probe=unit_gradient$")
    pick(visit, "A panel for each", "Length")
    address(visit, "facet=length")
    texts = [re.sub("</?b>", "", text) for text in maps(visit)["headings"]]
    assert texts[:3] == ["length 20 · RNN · 1 run", "length 20 · LSTM · 2 runs", "length 20 · GRU · 2 runs"]
    assert len(texts) == 6


def test_the_map_of_a_difference_lies_about_zero_and_its_numbers_are_those_shown(visit):
    page = visit.open("/compare?by=cell&where=cell=LSTM,GRU&where=iterations=60&probe=unit_gradient&show=difference")
    shown = maps(visit)
    assert shown["ends"][0] == -shown["ends"][1] < 0
    assert len(shown["means"]) == 1
    expect(page.locator(".compare-card .caption")).to_contain_text("LSTM divided by GRU, cell by cell")
    page.locator(".compare-card .export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Numbers (CSV)").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert {row["series"] for row in rows} == {"LSTM / GRU"}
    values = [float(row["value"]) for row in rows]
    assert sum(values) / len(values) == pytest.approx(shown["means"][0])


def test_gates_are_chosen_in_the_card_of_their_map(visit):
    visit.open("/compare?by=cell&where=cell=LSTM,GRU&where=iterations=60&probe=gate_activation")
    expect(visit.page.get_by_role("textbox", name="Part that the card Gate activation")).to_have_attribute(
        "placeholder", "keeping gate"
    )
    before = maps(visit)
    assert before["ends"] == [0, 1]
    choose(visit, "Part that the card Gate activation shows", "candidate")
    address(visit, "part=gate_activation:candidate")
    assert maps(visit)["ends"] == [-1, 1]


def test_maps_that_are_not_drawn_are_said(crowd, visit):
    visit.address = crowd.address
    page = visit.open("/compare?by=gain&where=kind=plain&probe=unit_gradient")
    assert len(maps(visit)["means"]) == 24
    expect(page.locator(".compare-card .caption")).to_contain_text("16 maps more are not drawn: add a condition")


def test_single_runs_have_no_band_over_runs_to_choose(visit):
    page = visit.open("/compare" + RUNS + "&probe=transport")
    bands = page.get_by_role("radiogroup", name="Bands hold").get_by_role("radio")
    for number in range(2):
        expect(bands.nth(number)).to_be_disabled()
    expect(page.locator("#compare-band-note")).to_have_text("Each line is one run, with the band of its own sequences.")
    expect(page.get_by_role("switch", name="Each run as a thin line")).to_be_disabled()
    pick(visit, "Group by", "Length")
    address(visit, "by=length")
    box = page.locator("#compare-run").evaluate("(one) => one.closest('.mantine-MultiSelect-root').offsetHeight")
    pills = page.locator(".compare-runs .mantine-MultiSelect-pill").evaluate_all(
        "(all) => all.reduce((sum, one) => sum + one.offsetHeight, 0)"
    )
    assert box < pills + 90  # no line is empty
    visit.open("/compare?by=cell&probe=transport")
    expect(bands.first).to_be_enabled()
    expect(page.locator("#compare-band-note")).to_have_text("")


def test_an_answer_to_a_page_that_was_left_keeps_the_next_ones_address(visit):
    page = visit.open("/compare?by=cell&probe=transport")
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "compare-link.data" in (route.request.post_data or "") and not held:
            held.append(route)
        else:
            route.fallback()

    page.route("**/_dash-update-component*", hold)
    press(visit, "Show", "Difference")
    for _ in range(1200):
        if held:
            break
        page.wait_for_timeout(50)
    page.get_by_role("link", name="Runs", exact=True).click()
    page.wait_for_url(lambda url: "/compare" not in url, wait_until="commit")
    with page.expect_response(lambda answer: "compare-link.data" in (answer.request.post_data or "")):
        held[0].fallback()
    expect(page.locator("#overview-table, .runs-grid").first).to_be_visible()
    assert "show=difference" not in page.url
    assert "by=cell" not in page.url


def test_a_run_that_diverged_leaves_the_axis_to_the_others(visit):
    page = visit.open("/compare?run=lstm-20-0.0&run=diverged&probe=transport&probe=unit_gradient")
    expect(page.locator(".compare-card").first).to_contain_text("1 run with NaN or inf reaches further")
    drawn = visit.figures()
    assert drawn["Transport to the last state"]["range"][1] < 21
    assert drawn[UNITS]["range"][1] < 21


def test_what_a_store_says_is_text_and_units_do_not_mix(crowd, visit):
    visit.address = crowd.address
    page = visit.open("/compare?by=kind&where=kind!=unit&members=1&facet=gain&where=gain%3E4")
    assert MARKUP in legend(visit)
    expect(page.locator("#compare-table tbody")).to_contain_text(MARKUP)
    assert page.evaluate("window.hurt") is None
    assert page.locator("#content img[src='x']").count() == 0
    visit.open("/compare?by=kind&show=difference&where=kind!=unit&probe=transport")
    expect(page.locator(".compare-card .caption")).to_contain_text(f"{MARKUP} divided by plain")
    assert page.evaluate("window.hurt") is None
    visit.open("/compare?by=kind&probe=transport")
    expect(page.locator(".plot-notice").first).to_contain_text("must have one unit in a figure, got log10 and 1")


def test_a_run_that_finishes_comes_in_and_the_reader_stays_where_he_is(serve, tmp_path, visit):
    path = tmp_path / "live.db"
    fill(path)
    visit.address = serve(path).address
    page = visit.open("/compare?by=kind&where=kind=late,plain&probe=transport")
    expect(page.locator("#compare-said")).to_contain_text("1 run without a record")
    zoomed = visit.zoom("Transport to the last state")
    assert zoomed[0] > 0
    with Store(path, "w") as store:
        store.finish_run("late", {0: tiny(0.3)})
    expect(page.locator("#compare-said")).to_have_text(f"{GROUPS + 1} runs in 2 groups by kind.", timeout=60_000)
    visit.ready()
    page.wait_for_function(
        "() => [...document.querySelectorAll('#compare-cards .legendtext')].some((one) => one.textContent === 'late')",
        timeout=60_000,
    )
    assert visit.figures()["Transport to the last state"]["range"] == pytest.approx(zoomed)
