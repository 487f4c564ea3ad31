"""What surrounds every page: colours, states, liveness, and what a reader without a mouse or sight needs."""

from __future__ import annotations

import itertools
import re
from urllib.parse import quote

import pytest
import sample_records
from conftest import MARKUP, configuration
from playwright.sync_api import expect

from gradscope.store import Store

CONTRAST = """() => {
    const parts = (colour) => { const c = document.createElement("canvas").getContext("2d");
        c.fillStyle = colour; c.fillRect(0, 0, 1, 1); return Array.from(c.getImageData(0, 0, 1, 1).data); };
    const luminance = (rgb) => rgb.slice(0, 3).map((v) => v / 255)
        .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => { for (let e = element; e; e = e.parentElement) {
        const rgb = parts(getComputedStyle(e).backgroundColor);
        if (rgb[3] === 255) return rgb; } return [255, 255, 255]; };
    const css = "h1,h2,h3,p,td,th,legend,a,.unit,.badge,.count,.caption,.note,.interval,.chip-count,.ag-cell";
    return [...document.querySelectorAll(css)].filter((e) => e.offsetParent && e.textContent.trim()).map((e) => {
        const [a, b] = [luminance(parts(getComputedStyle(e).color)), luminance(behind(e))];
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent.slice(0, 40)];
    }).filter(([ratio]) => ratio < 4.5);
}"""
NAMELESS = """() => [...document.querySelectorAll("button, a, input, [role=combobox], [role=button]")]
    .filter((e) => e.offsetParent && e.type !== "hidden" && !e.closest(".ag-root-wrapper, .modebar"))
    .filter((e) => !(e.textContent.trim() || e.getAttribute("aria-label") || e.getAttribute("aria-labelledby")
        || e.title || (e.labels && [...e.labels].some((label) => label.textContent.trim()))))
    .map((e) => e.outerHTML.slice(0, 200))"""


def background(page) -> str:
    """Return the colour of the first card."""
    return page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor")


@pytest.mark.parametrize("path", ["/", "/run/lstm-20-0.0"])
def test_the_switch_recolours_everything_and_is_remembered(visit, path):
    page = visit.open(path)
    light, card = {title: figure["ink"] for title, figure in visit.figures().items()}, background(page)
    page.get_by_role("button", name="Change between dark and light").click()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
    page.wait_for_timeout(500)
    dark = {title: figure["ink"] for title, figure in visit.figures().items()}
    assert set(dark) == set(light)
    assert all(dark[title] != light[title] for title in light)
    assert background(page) != card
    seen = visit.zoom(next(iter(dark)))
    page.get_by_role("button", name="Change between dark and light").click()
    page.wait_for_timeout(500)
    assert visit.figures()[next(iter(dark))]["range"] == seen
    page.get_by_role("button", name="Change between dark and light").click()
    page.reload()
    visit.ready()
    assert {title: figure["ink"] for title, figure in visit.figures().items()} == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/?cell=LSTM", "/run/lstm-20-0.0"])
def test_the_systems_colours_hold_from_the_start_and_can_be_read(visit, scheme, path):
    visit.page.emulate_media(color_scheme=scheme)
    page = visit.open(path)
    assert page.locator("html").get_attribute("data-mantine-color-scheme") == scheme
    assert len({figure["ink"] for figure in visit.figures().values()}) == 1
    assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("path", ["/", "/run/lstm-20-0.0"])
def test_every_control_has_a_name_and_nothing_is_wider_than_the_page(visit, path):
    for width in (1280, 1920):
        visit.page.set_viewport_size({"width": width, "height": 900})
        page = visit.open(path)
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        hints = "[...document.querySelectorAll('.cursor-hint')].every((one) => one.scrollWidth <= one.clientWidth)"
        assert page.evaluate(hints)  # none is cut


def test_the_header_leads_to_every_page_and_says_which_is_open(visit):
    page = visit.open("/run/lstm-20-0.0")
    here = page.locator(".nav-link[aria-current]")
    expect(here).to_have_text("Runs")
    expect(here).to_have_attribute("aria-current", "true")  # a page of the runs
    for name in ("Training", "Compare", "Scope", "Runs"):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()
        expect(here).to_have_text(name)
        expect(here).to_have_attribute("aria-current", "page")
    expect(page.locator("#match")).to_have_text(f"{visit.runs} runs")
    visit.ready()


def test_cards_that_wait_cost_the_page_nothing(visit):
    page = visit.open("/run/lstm-20-0.0")
    moved = page.evaluate("""() => {
        const card = document.body.appendChild(document.createElement("div"));
        card.className = "plot-wait standing";
        return card.getAnimations().flatMap((one) => one.effect.getKeyframes()).flatMap(Object.keys);
    }""")
    assert set(moved) == {"offset", "computedOffset", "easing", "composite", "opacity"}  # what the compositor moves


def test_cards_out_of_sight_do_not_breathe(visit):
    visit.page.goto(visit.address + "/run/lstm-20-0.0")
    expect(visit.page.locator(".plot.is-drawn").first).to_be_attached()
    breathing = """() => [...document.querySelectorAll(".plot.is-waiting:not(.is-near)")]
        .map((one) => one.querySelector(".plot-wait").getAnimations().length)"""
    found = visit.page.evaluate(breathing)
    assert found
    assert not any(found)
    visit.ready()


@pytest.mark.parametrize("path", ["/", "/run/lstm-20-0.0", "/compare", "/scope"])
def test_a_visit_brings_the_page_with_the_frame_and_asks_for_nothing_twice(visit, path):
    asked = []
    visit.page.on(
        "request", lambda request: asked.append(request.post_data or "") if request.method == "POST" else None
    )
    visit.open(path)
    assert not [body for body in asked if "content.children" in body]


@pytest.mark.parametrize("policy", ["no-referrer", "origin"])  # nothing, or the address without its path
def test_the_page_of_the_address_comes_where_the_browser_does_not_say_it(visit, policy):
    def change(route):
        answer = route.fetch()
        route.fulfill(response=answer, headers=answer.headers | {"referrer-policy": policy})

    visit.page.route("**/run/lstm-20-0.0?*", change)
    path = "/run/lstm-20-0.0?iteration=60"
    page = visit.page
    page.goto(visit.address + path)  # of half an address, another page stands first
    expect(page.get_by_role("heading", level=1)).to_have_text("LSTM, 8 units, tanh, forget bias 0, 20 steps")
    visit.ready()
    expect(page.locator("#run-groups")).to_have_attribute("data-source", re.compile("iteration=60"))
    assert page.url == visit.address + path
    page.go_back()  # to the empty page: nothing was put between
    assert page.url == "about:blank"


def test_the_focus_is_visible(visit):
    page = visit.open("/")
    page.keyboard.press("Tab")
    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style != "none"


@pytest.mark.parametrize(
    ("path", "heading"), [("/run/nobody", "There is no such run"), ("/what/ever", "There is no such page")]
)
def test_an_address_that_leads_nowhere_says_so_and_leads_back(visit, path, heading):
    page = visit.open(path)
    expect(page.get_by_role("heading", name=heading)).to_be_visible()
    page.get_by_role("link", name="Show all runs").click()
    expect(page.locator("#match")).to_have_text(f"{visit.runs} runs")
    visit.ready()


def test_a_page_without_a_store_goes_on_when_there_is_one(visit, serve, tmp_path):
    path = tmp_path / "results.db"
    visit.address = serve(path).address
    page = visit.open("/")
    expect(page.get_by_role("heading", name="There is no store here")).to_be_visible()
    with Store(path, "w") as store:
        expect(page.get_by_role("heading", name="The store is empty")).to_be_visible()
        sweep = store.add_sweep("study", {})
        expect(page.get_by_role("heading", name="No run has begun yet")).to_be_visible()
        store.start_run("one", sweep, {"cell": "LSTM", "length": 20})
        expect(page.locator("#match")).to_have_text("1 run")
        expect(page.locator("#live")).to_contain_text(re.compile(r"live · \d+ s ago"))
        store.fail_run("one", "MemoryError: no memory")
        expect(page.get_by_role("alert").filter(has_text="The only run failed")).to_contain_text("no memory")
        expect(page.locator("#live")).to_be_empty()


def test_names_of_studies_runs_and_settings_are_text_on_every_page(visit, serve, tmp_path):
    path, runs = tmp_path / "results.db", [f"{number}{MARKUP}" for number in range(2)]
    with Store(path, "w") as store:
        for number, run in enumerate(runs):
            sweep = store.add_sweep(f"study {number} {MARKUP}", {})
            store.start_run(
                run, sweep, configuration("LSTM", 20, 1.0, seed=number) | {f"{MARKUP}": MARKUP * (number + 1)}
            )
            records = {n: sample_records.sample("LSTM", 20, 4, 6, rate=0.2, seed=n) for n in (0, 30, 60)}
            store.finish_run(run, records, {f"of {MARKUP}": float(number)})
    visit.address = serve(path).address
    axes = f"?x={quote(MARKUP)}&value={quote('of ' + MARKUP)}&group={quote(MARKUP)}"
    pages = {axes: MARKUP, f"run/{quote(runs[0])}": runs[0], f"training/{quote(runs[1])}": runs[1]}
    for address, told in (pages | {f"compare?by={quote(MARKUP)}": MARKUP}).items():
        page = visit.open(f"/{address}")
        expect(page.locator("#sweeps")).to_contain_text(MARKUP)
        expect(page.locator("#content").get_by_text(told).first).to_be_attached()
        assert page.evaluate("window.hurt") is None
        assert page.locator("img[src='x']").count() == 0


def test_a_file_that_is_no_store_is_told(visit, serve, tmp_path):
    path = tmp_path / "letter.db"
    path.write_text("Dear Sir or Madam")
    visit.address = serve(path).address
    page = visit.open("/")
    expect(page.get_by_role("heading", name="This store cannot be read")).to_be_visible()
    expect(page.locator("#content")).to_contain_text("must be a store of gradscope")


def test_a_store_that_is_being_written_shows_its_runs_and_leaves_zoom_and_place_alone(visit, serve, tmp_path):
    path = tmp_path / "results.db"
    numbers = itertools.count()
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {})

        def add(length: int) -> None:
            run = f"run-{next(numbers):02d}"
            store.start_run(run, sweep, {"cell": "GRU", "length": length, "forget_bias": 0.0, "seed": next(numbers)})
            record = sample_records.sample("GRU", length=20, batch=3, hidden=4, seed=length)
            store.finish_run(run, {0: record}, {}, 0.1)

        for length in range(10, 40):
            add(length)
        visit.address = serve(path).address
        page = visit.open("/?sort=run")
        expect(page.locator("#match")).to_have_text("30 runs")
        seen = visit.zoom("Phase map")
        assert seen != [-0.5, 29.5]
        page.evaluate("window.scrollTo(0, 100)")
        page.evaluate("async () => (await dash_ag_grid.getApiAsync('runs')).ensureIndexVisible(20, 'top')")
        page.wait_for_timeout(300)
        place = page.evaluate("document.querySelector('#runs .ag-body-viewport').scrollTop")
        assert place > 100
        add(60)
        expect(page.locator("#match")).to_have_text("31 runs")
        page.wait_for_timeout(500)
        assert visit.figures()["Phase map"]["range"] == seen
        assert page.evaluate("window.scrollY") == 100
        assert page.evaluate("document.querySelector('#runs .ag-body-viewport').scrollTop") == place


def test_a_run_that_finishes_while_its_page_is_open_shows_its_figures(visit, serve, tmp_path):
    path = tmp_path / "results.db"
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {})
        store.start_run("one", sweep, {"cell": "GRU", "length": 20})
        visit.address = serve(path).address
        page = visit.open("/run/one")
        expect(page.get_by_role("heading", name="This run is in work")).to_be_visible()
        store.finish_run("one", {0: sample_records.sample("GRU", length=20, batch=3, hidden=4)}, {}, 0.1)
        expect(page.get_by_role("heading", name="Does the gradient survive?")).to_be_visible()
        visit.ready()
        assert "Retention" in visit.figures()


def test_cards_say_that_plotly_is_missing_and_draw_when_it_is_there(visit):
    page = visit.page
    page.route("**/plotly.js*", lambda route: route.abort())
    page.goto(visit.address + "/")
    told = page.locator(".plot.is-failed", has_text="plotly.js, which draws the figures, could not be loaded.")
    expect(told).to_have_count(2)
    expect(page.locator(".export:visible")).to_have_count(0)
    page.unroute("**/plotly.js*")
    expect(page.locator(".plot.is-drawn .main-svg").first).to_be_visible()
    expect(page.locator(".plot.is-drawn")).to_have_count(2)
    assert set(visit.figures()) == {"Phase map", "Verdicts"}
    assert all("ERR_FAILED" in error for error in visit.errors)
    visit.errors.clear()


def test_a_server_that_is_gone_is_told_and_the_page_goes_on_when_it_is_back(visit, serve, filled):
    site = serve(filled)
    visit.address = site.address
    page = visit.open("/")
    banner = page.get_by_text("The server does not answer.")
    expect(banner).to_be_hidden()
    site.server.shutdown()
    site.server.server_close()
    expect(banner).to_be_visible()
    page.get_by_role("link", name="Compare").press("Enter")
    expect(page.get_by_role("link", name="Compare")).to_have_attribute("aria-current", "page")
    serve(filled, site.server.port)
    expect(banner).to_be_hidden()
    expect(page.get_by_role("heading", name="Compare")).to_be_visible()
    visit.ready()
    assert any("ERR_CONNECTION_REFUSED" in error for error in visit.errors)
    visit.errors.clear()
