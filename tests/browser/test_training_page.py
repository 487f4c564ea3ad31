"""The page of a training in a real browser: map, cut, film, keys, links, and what it says when there is nothing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import sample_records
from conftest import MARKUP, Site, configuration
from playwright.sync_api import expect

from gradscope import figures
from gradscope.dashboards import words as shown
from gradscope.record import Field, Record
from gradscope.store import Results, Store

WHEN = (0, 1, 3, 10, 32, 100)
PROBES = ("state_gradient", "transport", "gate_activation", "retention")
CARDS = {"Over the iterations", "At one iteration", "Loss", "Gradient before and after clipping", "Numbers"}
CUT = "[data-figure=training-cut] .js-plotly-plot"


def moment(place: int, length: int = 20) -> Record:
    """Return what was probed at one iteration of a training that learns to remember."""
    whole = sample_records.sample("LSTM", length, 4, 6, rate=0.4 / (1 + place), keep_bias=float(place), seed=place)
    return replace(whole, fields={name: entry for name, entry in whole.fields.items() if name in PROBES})


def trained(
    store: Store, sweep: int, run: str, when: tuple[int, ...], bad: dict[str, Any] | None = None, **more
) -> None:
    """Write a run that was trained, and probed at some iterations."""
    updates = when[-1]
    config = configuration("LSTM", 20, 1.0, iterations=updates, clip=1.0, clip_by="norm", **more)
    store.start_run(run, sweep, config)
    records = {n: moment(place) for place, n in enumerate(when)}
    norm = np.exp(np.random.default_rng(0).normal(size=updates))
    for name, values, unit in (
        ("training_loss", np.linspace(2.3, 1.0, updates), "nat"),
        ("training_gradient_norm", norm, "1"),
        ("training_gradient_norm.clipped", np.minimum(norm, 1.0), "1"),
    ):
        records[updates].fields[name] = Field(name, values, ("iteration",), unit)
    if bad:
        records[updates].summary["first_bad_step"] = bad
    curves = {"validation_loss": {0: 2.4, updates: 1.1}, "validation_accuracy": {0: 0.1, updates: 0.7}}
    store.finish_run(run, records, {"loss_baseline": 2.3, "accuracy_baseline": 0.1}, 1.0, curves)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of trainings: dense, before and after alone, diverged, and runs without any to show."""
    path = tmp_path_factory.mktemp("trainings") / "trainings.db"
    with Store(path, "w") as store:
        sweep = store.add_sweep("trainings", {})
        trained(store, sweep, "ends", (0, 60), seed=3, activation=MARKUP)
        trained(store, sweep, "dense", WHEN)
        bad = {"pass": "forward", "iteration": 9, "t": 2, "sequence": 1, "array": "states"}
        trained(store, sweep, "diverged", (0, 4, 9), bad, seed=2)
        store.start_run("untrained", sweep, configuration("RNN", 20, None, iterations=0))
        store.finish_run("untrained", {0: moment(0)}, {}, 1.0)
        store.start_run("numbers", sweep, configuration("GRU", 20, 1.0, iterations=40))
        store.finish_run("numbers", {20 * place: Record({}, moment(place).summary) for place in range(3)}, {}, 1.0)
        store.start_run("failed", sweep, configuration("RNN", 20, None, iterations=10))
        store.fail_run("failed", f"MemoryError: {MARKUP}", 0.1)
        store.start_run("running", sweep, configuration("RNN", 40, None, iterations=10))
    return path


@pytest.fixture
def visit(visit, serve, trainings: Path) -> Iterator[Any]:
    """Return a visit of the store of trainings."""
    visit.address = _served(serve, trainings).address
    return visit


_SITES: dict[Path, Site] = {}


def _served(serve: Any, store: Path) -> Site:
    """Serve a store once."""
    if store not in _SITES:
        _SITES[store] = serve(store)
    return _SITES[store]


def opened(visit, path: str = "/training/dense"):
    """Open a training and wait until the cut shows its iteration."""
    page = visit.open(path)
    settled(visit)
    return page


def settled(visit) -> None:
    """Wait until the cut, the lines and the address agree with the iteration that is named."""
    visit.page.wait_for_function(
        """(css) => {
            const told = document.getElementById("training-now").textContent;
            const n = told.startsWith("before") ? 0 : Number(told.replace(/[^0-9]/g, ""));
            const gd = document.querySelector(css);
            const lines = [...document.querySelectorAll(".training-cursor")];
            return gd && gd.layout && gd.layout.meta.iteration === n && lines.length > 0
                && lines.every((line) => Number(line.dataset.iteration) === n)
                && new URLSearchParams(window.location.search).get("iteration") === String(n);
        }""",
        arg=CUT,
        timeout=60_000,
    )


def asked(page) -> dict[str, str]:
    """Return the parameters of the address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def drawn(page, figure: str, place: int = 0, letter: str = "y") -> list[Any]:
    """Return the numbers of a trace as they stand in the browser."""
    return page.evaluate(
        """([name, place, letter]) => {
            const gd = document.querySelector(`[data-figure=${name}] .js-plotly-plot`);
            const values = gd._fullData[place][letter];
            return Array.from(values, (one) => one && one.length !== undefined ? Array.from(one) : one);
        }""",
        [figure, place, letter],
    )


def test_the_header_leads_to_the_training_that_was_probed_most(visit):
    page = visit.open("/")
    page.get_by_role("link", name="Training", exact=True).click()
    page.wait_for_url(re.compile("/training"), wait_until="commit")
    visit.ready()
    settled(visit)
    assert urlsplit(page.url).path == "/training/dense"
    expect(page).to_have_title(re.compile(r"Training · LSTM, 8 units.* · gradscope"))
    found = visit.figures()
    assert set(found) == CARDS
    assert all(figure["numbers"] > 3 for figure in found.values())
    expect(page.locator("#training-now")).to_have_text("iteration 100")


def test_map_and_cut_show_what_the_store_holds(visit, trainings):
    page = opened(visit, "/training/dense?probe=transport&iteration=10")
    with Store(trainings) as store:
        medians = [np.median(one["transport"], axis=1) for one in store.records("dense", ["transport"]).values()]
    np.testing.assert_allclose(np.array(drawn(page, "training-map", 0, "z")).T, medians, rtol=1e-6)
    names = page.evaluate("(css) => document.querySelector(css)._fullData.map((one) => one.name)", CUT)
    np.testing.assert_allclose(drawn(page, "training-cut", names.index("iteration 10")), medians[3], rtol=1e-6)
    np.testing.assert_allclose(drawn(page, "training-cut", names.index("before training")), medians[0], rtol=1e-6)
    expect(page.get_by_role("textbox", name="Probe")).to_have_value("Transport to the last state")
    captions = page.locator(".training-cards .caption").all_inner_texts()
    assert figures.caption("transport") in captions[0]


def test_the_slider_moves_everything_and_the_address_follows(visit):
    page = opened(visit, "/training/dense?iteration=0")
    verdict = page.locator("#training-verdict")
    first = verdict.inner_text()
    assert first.startswith("vanishing")
    thumb = page.get_by_role("slider", name="Iteration")
    thumb.focus()
    for _ in range(4):
        thumb.press("ArrowRight")
    expect(page.locator("#training-now")).to_have_text("iteration 32")
    settled(visit)
    assert asked(page)["iteration"] == "32"
    assert verdict.inner_text() != first
    rate = page.locator("tr", has=page.get_by_role("rowheader", name="Decay rate")).locator("td").all_inner_texts()
    assert rate == ["0.4", "0.08"]
    link = page.locator("#training-run").get_attribute("href")
    assert link.startswith("/run/dense?")
    assert "iteration=32" in link


def test_keys_step_and_play_to_the_end(visit):
    page = opened(visit, "/training/dense?iteration=10")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#training-now")).to_have_text("iteration 32")
    page.keyboard.press("Home")
    expect(page.locator("#training-now")).to_have_text("before training")
    settled(visit)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#training-now")).to_have_text("before training")
    page.get_by_role("textbox", name="Speed of the film").click()
    page.get_by_role("option", name="10 a second").click()
    page.evaluate(
        """() => {
            window.seen = [];
            const output = document.getElementById("training-now");
            new MutationObserver(() => window.seen.push(output.textContent)).observe(output, { childList: true });
        }"""
    )
    page.locator("h1").click()  # away from the choice, which takes keys itself
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#training-now")).to_have_text("iteration 100", timeout=60_000)
    expect(page.get_by_role("button", name="Play", exact=True)).to_have_attribute("aria-pressed", "false")
    settled(visit)
    assert page.evaluate("window.seen") == [f"iteration {n}" for n in WHEN[1:]]  # none is left out


def test_the_button_plays_pauses_and_begins_again_at_the_end(visit):
    page = opened(visit)
    page.get_by_role("textbox", name="Speed of the film").click()
    page.get_by_role("option", name="2 a second").click()
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function(  # from the first on; looked at in every frame, for it does not stay
        """() => {
            const here = document.getElementById("training-now").textContent === "iteration 3";
            if (here) {
                document.getElementById("training-play").click();
            }
            return here;
        }""",
        timeout=60_000,
    )
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    settled(visit)
    shown = page.locator("#training-now").inner_text()
    page.wait_for_timeout(1200)  # longer than a step of the film
    assert page.locator("#training-now").inner_text() == shown


def test_a_click_in_a_figure_goes_to_the_nearest_iteration(visit):
    page = opened(visit)
    for name, when in (("training-map", 3), ("training-loss", 32), ("training-numbers", 0)):
        place = page.evaluate(
            """([name, n]) => {
                const gd = document.querySelector(`[data-figure=${name}] .js-plotly-plot`);
                gd.scrollIntoView({ block: "center" });
                const axis = gd._fullLayout.xaxis;
                const box = gd.getBoundingClientRect();
                return [box.left + axis._offset + axis.l2p(Math.log10(n + 1)), box.top + gd._fullLayout._size.t + 60];
            }""",
            [name, when],
        )
        page.mouse.click(place[0] + 2, place[1])
        expect(page.locator("#training-now")).to_have_text(f"iteration {when}" if when else "before training")
    settled(visit)


def test_probe_part_axis_ghost_and_number_are_chosen_and_a_link_opens_them_again(visit):
    page = opened(visit, "/training/dense?iteration=3")
    expect(page.locator("#training-parts")).to_be_hidden()
    page.get_by_role("textbox", name="Probe").click()
    page.get_by_role("option", name="Gate activation").click()
    part = page.get_by_role("textbox", name="Part")
    expect(part).to_have_value("forget, by step")
    part.click()
    page.get_by_role("option", name="output, by unit").click()
    page.locator("#training-scale").get_by_text("Linear").click()
    page.get_by_role("switch", name="First iteration behind").click()
    page.get_by_role("textbox", name="Which number over the iterations").click()
    page.get_by_role("option", name="Half life").click()
    page.wait_for_function("() => window.location.search.includes('number=half_life')", timeout=60_000)
    chosen = {"probe": "gate_activation", "part": "output, by unit", "iteration": "3", "scale": "linear"}
    page.wait_for_function("() => window.location.search.includes('scale=linear')", timeout=60_000)
    assert asked(page) == chosen | {"ghost": "off", "number": "half_life"}
    visit.open(urlsplit(page.url).path + "?" + urlsplit(page.url).query)
    settled(visit)
    expect(part).to_have_value("output, by unit")
    expect(page.get_by_role("textbox", name="Which number over the iterations")).to_have_value("Half life")
    expect(page.get_by_role("switch", name="First iteration behind")).not_to_be_checked()
    assert drawn(page, "training-map", 0, "x") == list(WHEN)
    assert "before training" not in page.locator(CUT).inner_text()
    assert "Half life [step]" in page.locator("[data-figure=training-numbers]").inner_text()


def test_what_a_link_asks_for_and_is_not_there_falls_back(visit):
    page = opened(visit, "/training/dense?probe=nonsense&part=nonsense&scale=square&iteration=7&number=nonsense")
    assert asked(page) == {
        "probe": "state_gradient",
        "part": "State gradient, total",
        "iteration": "100",
        "scale": "log",
    }


def test_another_run_is_chosen_and_the_way_back_leads_to_it(visit):
    page = opened(visit, "/training/dense?probe=transport")
    page.get_by_role("textbox", name="Run").click()
    page.get_by_role("option", name=re.compile("seed 2")).click()
    page.wait_for_url(re.compile("/training/diverged"), wait_until="commit")
    expect(page.locator(".alert")).to_contain_text("A number stopped being finite in iteration 9 (forward pass, t = 2)")
    visit.ready()
    settled(visit)
    assert asked(page)["probe"] == "transport"
    page.locator("#training-run").click()
    page.wait_for_url(re.compile("/run/diverged"), wait_until="commit")
    visit.ready()
    page.get_by_role("link", name="Training over its iterations").click()
    page.wait_for_url(re.compile("/training/diverged"), wait_until="commit")
    visit.ready()


def test_a_diverged_training_is_marked_where_it_ended(visit):
    page = opened(visit, "/training/diverged")
    expect(page.locator("[data-figure=training-loss]")).to_contain_text("iteration 9: the training ended")
    lines = "(css) => document.querySelector(css).layout.shapes.map((shape) => shape.x0)"
    assert 9 in page.evaluate(lines, "[data-figure=training-loss] .js-plotly-plot")


def test_probed_at_both_ends_alone_it_says_how_to_probe_on_the_way(visit):
    page = opened(visit, "/training/ends")
    expect(page.locator("#training-hint")).to_contain_text("probed before and after the training alone")
    expect(page.locator("h1")).to_contain_text(MARKUP)
    assert page.evaluate("window.hurt") is None


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("untrained", "This run was not trained"),
        ("running", "This training has nothing to show yet"),
        ("failed", "MemoryError"),
        ("nobody", "There is no such run"),
        ("%3Cimg%20src%3Dx%20onerror%3Dwindow.hurt%3D1%3E", "There is no such run"),
    ],
)
def test_what_has_no_training_says_so(visit, run, words):
    page = visit.page
    page.goto(f"{visit.address}/training/{run}")
    expect(page.locator(".nothing")).to_contain_text(words)
    assert page.evaluate("window.hurt") is None


def test_a_store_that_keeps_numbers_alone_shows_them(visit):
    page = visit.open("/training/numbers")
    for name in ("training-map", "training-cut"):
        expect(page.locator(f"[data-figure={name}]")).to_contain_text("keeps no arrays of this run")
    assert visit.figures()["Numbers"]["numbers"] > 3


def test_a_store_without_trainings_says_how_to_make_one(visit, serve, tmp_path):
    with Store(tmp_path / "none.db", "w") as store:
        store.add_sweep("none", {})
    visit.page.goto(f"{serve(tmp_path / 'none.db').address}/training")
    expect(visit.page.locator(".nothing")).to_contain_text("No training to show")


def test_a_training_that_ends_appears_without_losing_the_place(visit, serve, tmp_path):
    path = tmp_path / "live.db"
    with Store(path, "w") as store:
        sweep = store.add_sweep("live", {})
        store.start_run("dense", sweep, configuration("LSTM", 20, 1.0, iterations=100))
        visit.address = serve(path).address
        visit.page.goto(f"{visit.address}/training/dense?probe=retention&iteration=10")
        expect(visit.page.locator(".nothing")).to_contain_text("nothing to show yet")
        trained(store, sweep, "dense", WHEN)
    expect(visit.page.locator("#training-now")).to_have_text("iteration 10", timeout=60_000)
    visit.ready()
    settled(visit)
    assert asked(visit.page)["probe"] == "retention"


def part(places: tuple[int, ...], updates: int) -> Results:
    """Return what is seen of a training under way: some records, the last with the losses so far."""
    records = {WHEN[place]: moment(place) for place in places}
    if updates:
        records[WHEN[places[-1]]].fields["training_loss"] = Field(
            "training_loss", np.linspace(2.3, 1.0, updates), ("iteration",), "nat"
        )
    return Results(records, curves={"validation_loss": {0: 2.4}})


def test_a_training_in_work_grows_under_the_readers_eyes_and_the_place_stays(visit, serve, tmp_path):
    path = tmp_path / "work.db"
    with Store(path, "w") as store:
        sweep, owner = store.add_sweep("work", {}), store.add_owner()
        store.plan(sweep, ["dense", "later", "last"])
        config = configuration("LSTM", 20, 1.0, iterations=100, probe_schedule="log:2")
        store.claim(sweep, {"dense": config}, owner)
        store.add_records({"dense": part((0, 1), 1)}, owner)
        visit.address = serve(path).address
        page = opened(visit, "/training/dense")
        told, slider = page.locator("#training-told"), page.locator(".training-slider [role=slider]")
        expect(told).to_contain_text("in work")
        expect(told).to_contain_text("probed twice, the last time after 1 of 100 iterations")
        expect(page.locator("#progress")).to_have_text("0 of 3 done1 running")
        expect(page.locator("#training-scale input:checked")).to_have_value("log")
        assert len(drawn(page, "training-loss")) == 1
        page.evaluate("document.querySelector('.training-cards').dataset.mine = 'yes'")

        store.add_records({"dense": part((2,), 3)}, owner)
        expect(page.locator("#training-now")).to_have_text("iteration 3", timeout=60_000)  # the last is followed
        expect(slider).to_have_attribute("aria-valuemax", "2")
        settled(visit)
        page.wait_for_function(
            """() => {
                const gd = document.querySelector("[data-figure=training-loss] .js-plotly-plot");
                return gd && gd._fullData[0].x.length === 3;
            }"""
        )

        page.keyboard.press("ArrowLeft")
        settled(visit)
        store.add_records({"dense": part((3, 4), 32)}, owner)
        expect(slider).to_have_attribute("aria-valuemax", "4", timeout=60_000)
        expect(told).to_contain_text("probed 5 times, the last time after 32 of 100 iterations")
        expect(page.locator("#training-now")).to_have_text("iteration 1")  # any other stays
        settled(visit)
        page.wait_for_function(
            """() => {
                const gd = document.querySelector("[data-figure=training-map] .js-plotly-plot");
                return gd && gd._fullData[0].z[0].length === 5;
            }"""
        )

        store.fail_run("dense", f"MemoryError: {MARKUP}", owner=owner)
        expect(told.get_by_role("alert")).to_contain_text(f"MemoryError: {MARKUP}", timeout=60_000)
        trained(store, sweep, "other", (0, 5), seed=1)
        store.start_run("dense", sweep, config)  # from the beginning: there is nothing any more
        expect(page.locator(".nothing")).to_contain_text("nothing to show yet", timeout=60_000)


def test_a_training_that_ends_while_it_is_watched_stays_where_it_was_looked_at(visit, serve, tmp_path):
    path = tmp_path / "end.db"
    with Store(path, "w") as store:
        sweep = store.add_sweep("end", {})
        store.start_run("dense", sweep, configuration("LSTM", 20, 1.0, iterations=100))
        store.add_records({"dense": part((0, 1, 2), 3)})
        visit.address = serve(path).address
        page = opened(visit, "/training/dense?iteration=1&probe=retention")
        page.evaluate("document.querySelector('.training-cards').dataset.mine = 'yes'")
        records = {n: moment(place) for place, n in enumerate(WHEN)}
        store.finish_run("dense", records, {"loss_baseline": 2.3}, 1.0, {"validation_loss": {0: 2.4, 100: 1.1}})
        expect(page.locator("#training-told")).to_be_empty(timeout=60_000)
    settled(visit)
    expect(page.locator("#training-now")).to_have_text("iteration 1")
    expect(page.locator(".training-slider [role=slider]")).to_have_attribute("aria-valuemax", "5")
    expect(page.locator(".training-cards[data-mine=yes]")).to_have_count(1)
    assert asked(page)["probe"] == "retention"


def test_layers_of_a_stack_are_looked_at_one_by_one_and_a_link_opens_them_again(visit, serve, tmp_path):
    path = tmp_path / "layers.db"
    with Store(path, "w") as store:
        sweep = store.add_sweep("layers", {})
        store.start_run("stack", sweep, configuration("LSTM", 20, 1.0, iterations=100, layers=2))
        records = {}
        for place, n in enumerate(WHEN):
            whole, layers = moment(place), {f"layer{i}": moment(place + 2 * i) for i in (1, 2)}
            whole.fields.pop("gate_activation")  # of single layers alone
            records[n] = replace(whole, layers=layers)
        store.finish_run("stack", records, {}, 1.0)
    visit.address = serve(path).address
    page = opened(visit, "/training/stack?probe=transport&iteration=10")
    expect(page.locator("#training-layer")).to_have_value("Whole network")
    assert "layer" not in asked(page)
    page.locator("#training-layer").click()
    page.get_by_role("option", name="layer2").click()
    page.wait_for_url(re.compile("layer=layer2"))
    settled(visit)
    expect(page.locator("#training-now")).to_have_text("iteration 10")
    with Store(path) as store:
        expected = figures.training_map(store.records("stack", ["transport"], "layer2"), "transport", scale="log")
        rate = store.records("stack", layer="layer2")[10].summary["decay_rate"]
    wanted = np.array(expected.data[0].z, float)
    np.testing.assert_allclose(np.array(drawn(page, "training-map", letter="z"), float), wanted, rtol=1e-6)
    expect(page.locator("td[data-number=decay_rate]")).to_have_text(shown.number(rate))
    page.locator("#training-probe").click()
    page.get_by_role("option", name="Gate activation").click()
    page.wait_for_url(re.compile("probe=gate_activation"))
    page.reload()
    visit.ready()
    settled(visit)
    expect(page.locator("#training-layer")).to_have_value("layer2")
    expect(page.locator("#training-probe")).to_have_value(re.compile("Gate activation"))
    page.locator("#training-layer").click()
    page.get_by_role("option", name="Whole network").click()
    expect(page.locator("#training-probe")).not_to_have_value(re.compile("Gate activation"))  # it has none
    page.wait_for_url(lambda url: "layer=" not in url)
    settled(visit)


def test_other_runs_that_are_written_leave_the_page_alone(visit, serve, tmp_path):
    path = tmp_path / "more.db"
    with Store(path, "w") as store:
        sweep = store.add_sweep("more", {})
        trained(store, sweep, "dense", WHEN)
        visit.address = serve(path).address
        page = opened(visit, "/training/dense?iteration=3&probe=transport")
        page.evaluate("document.querySelector('.training-cards').dataset.mine = 'yes'")
        trained(store, sweep, "other", (0, 5), seed=1)
        expect(page.locator("#progress")).to_contain_text("2 done", timeout=60_000)
        page.wait_for_timeout(500)
    expect(page.locator(".training-cards[data-mine=yes]")).to_have_count(1)
    expect(page.locator("#training-now")).to_have_text("iteration 3")


def test_light_and_dark(visit):
    page = opened(visit, "/training/dense?iteration=10")
    inks = {figure["ink"] for figure in visit.figures().values()}
    assert len(inks) == 1
    page.get_by_role("button", name="Change between dark and light").click()
    dark = """(ink) => [...document.querySelectorAll(".is-drawn .js-plotly-plot")].every(
        (gd) => gd._fullLayout.font.color !== ink)"""
    page.wait_for_function(dark, arg=inks.pop(), timeout=60_000)
    settled(visit)  # the iteration stays
    expect(page.locator("#training-now")).to_have_text("iteration 10")


def test_the_cut_answers_what_is_wrong_in_words(visit):
    for query, words in (
        ("run=dense&probe=transport&iteration=7", "must be one of 0, 1, 3, 10, 32, 100"),
        ("run=dense&probe=transport&iteration=x", "must be a number"),
        ("run=dense&probe=nonsense&iteration=0", "must be one of"),
        ("run=nobody&probe=transport&iteration=0", "at least one iteration"),
        ("", "must be a number"),
    ):
        answer = visit.page.request.get(f"{visit.address}/training/cut?{query}").json()
        assert words in answer["notice"], query


def test_every_control_has_a_name(visit):
    page = opened(visit)
    for role, name in itertools.chain(
        [("button", "Play"), ("slider", "Iteration")],
        [("textbox", name) for name in ("Run", "Probe", "Speed of the film", "Which number over the iterations")],
        [("radio", "Linear"), ("radio", "Log"), ("switch", "First iteration behind")],
    ):
        assert page.get_by_role(role, name=name, exact=True).count() == 1, name
