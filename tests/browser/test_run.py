"""The page of one run in a real browser."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote

import numpy as np
import pytest
from playwright.sync_api import expect

import gradscope as gs
from gradscope import figures
from gradscope.store import Store

QUESTIONS = [
    "Does the gradient survive?",
    "Where is it lost?",
    "What does the memory keep?",
    "Is the dynamics chaotic?",
]
OF_AN_LSTM = {
    "Transport to the last state",
    "Transport by block",
    "State gradient",
    "Jacobian norm per step",
    "Jacobian rms per step",
    "Slope saturation",
    "Slope of the activations",
    "Gate saturation",
    "Gate activation",
    "Retention",
    "Timescale of each unit",
    "Cell-state flow",
    "Lyapunov spectrum",
    "Transport from every time",
    "Transport by direction",
    "State gradient by unit",
    "Input gradient",
    "Weight gradient by step",
    "Jacobian by block",
    "What survives of each write",
    "Routes of the gradient",
    "Finite-time exponents",
    "Eigenvalues of the Jacobian",
    "Non-normality",
}


def choose(visit, card: str, words: str) -> None:
    """Choose what a card shows, and wait until it is drawn."""
    select = visit.page.get_by_role("combobox", name=f"What the card {card} shows")
    select.scroll_into_view_if_needed()
    select.select_option(words)
    expect(select).to_have_value(words)


def test_every_figure_has_data_a_caption_and_a_place_under_its_question(visit):
    page = visit.open("/run/lstm-40-0.0")
    found = visit.figures()
    assert set(found) == OF_AN_LSTM
    for title, figure in found.items():
        assert figure["numbers"] > 1, title
    assert page.locator("h2.question").all_inner_texts() == QUESTIONS
    captions = page.locator(".cards .caption").all_inner_texts()
    assert len(captions) == len(OF_AN_LSTM)
    assert all(len(caption) > 40 for caption in captions)
    assert figures.caption("jacobian_norm") in captions


def test_the_head_says_in_words_what_the_run_is(visit):
    page = visit.open("/run/lstm-40-0.0")
    expect(page.get_by_role("heading", level=1)).to_have_text("LSTM, 8 units, tanh, forget bias 0, 40 steps")
    expect(page.locator("#summary .verdict")).to_have_text("vanishing: e⁻⁸ over 40 steps")
    expect(page).to_have_title("LSTM, 8 units, tanh, forget bias 0, 40 steps · gradscope")
    decay = page.locator("tr", has=page.get_by_role("rowheader", name="Decay rate"))
    assert decay.locator("td").all_inner_texts() == ["0.2\n[0.19, 0.21]", "0.025\n[0.0238, 0.0263]"]
    accuracy = page.locator("tr", has=page.get_by_role("rowheader", name="Accuracy"))
    assert accuracy.locator("td").all_inner_texts() == ["0.1", "0.9"]


def test_what_a_card_shows_is_part_of_the_link_and_stays_with_another_iteration(visit):
    page = visit.open("/run/lstm-40-0.0?iteration=0")
    choose(visit, "Gate activation", "output")
    page.wait_for_url("**/run/lstm-40-0.0?iteration=0&show=gate_activation%3Aoutput", wait_until="commit")
    page.locator("#iteration").get_by_text("After 60").click()
    page.wait_for_url("**?iteration=60&show=gate_activation%3Aoutput", wait_until="commit")
    again = visit.open("/run/lstm-40-0.0?show=gate_activation%3Aoutput&show=state_gradient:none")
    expect(again.get_by_role("combobox", name="What the card Gate activation shows")).to_have_value("output")
    expect(again.get_by_role("combobox", name="What the card State gradient shows")).to_have_value("total and direct")
    expect(again.locator("#content .card[aria-label='Gate activation'] .js-plotly-plot")).to_contain_text("output")
    choose(visit, "Gate activation", "forget")
    page.wait_for_url(lambda url: "gate_activation" not in url, wait_until="commit")


def test_the_answer_to_a_page_that_has_been_left_does_not_change_the_link(visit):
    page = visit.open("/run/lstm-40-0.0")
    told = """(links) => {
        const kept = dash_clientside.set_props, told = [];
        dash_clientside.set_props = (id, props) => told.push(props.search);
        links.forEach((link) => dash_clientside.gradscope.follow(link));
        dash_clientside.set_props = kept;
        return told;
    }"""
    assert page.evaluate(told, ["/?cell=GRU", "/run/other?iteration=60", "/compare?run=a"]) == []
    assert page.evaluate(told, ["/run/lstm-40-0.0?iteration=60"]) == ["?iteration=60"]
    page.evaluate("dash_clientside.gradscope.follow('/run/lstm-40-0.0?iteration=0')")
    page.wait_for_url("**/run/lstm-40-0.0?iteration=0", wait_until="commit")


def test_figures_leave_their_legends_the_room_that_they_take(visit):
    """Plotly draws parts of a figure twice otherwise."""
    page = visit.open("/run/lstm-40-0.0")
    missing = "(graph) => graph._fullLayout._size.t - graph.layout.margin.t"
    graphs = page.locator(".js-plotly-plot:has(.legend)").all()
    assert len(graphs) > 8
    assert [graph.inner_text() for graph in graphs if graph.evaluate(missing)] == []


def test_the_browser_unpacks_numbers_as_plotly_does(visit):
    page = visit.open("/run/lstm-40-0.0")
    flat, square = np.array([1.5, -np.inf, np.nan, 1e-300]), np.arange(6, dtype="<i2").reshape(2, 3)
    packed = {
        name: {"dtype": one.dtype.str[1:], "bdata": base64.b64encode(one.tobytes()).decode()}
        for name, one in (("flat", flat), ("square", square))
    }
    packed["square"]["shape"] = "2, 3"
    unpack = """(given) => {
        const trace = { marker: { size: given.flat }, z: given.square, text: ["a"], none: null };
        const found = gradscopeNumbers.unpacked(trace);
        const sources = [found.marker.size, found.z].map(gradscopeNumbers.packed);
        const same = sources[0] === given.flat && sources[1] === given.square;
        return [[...found.marker.size].map(String), found.z.map((row) => [...row]), found.text, found.none, same,
            found.marker.size.constructor.name, found.z[1].constructor.name];
    }"""
    for _ in range(2):
        sizes, rows, text, none, same, kind, part = page.evaluate(unpack, packed)
        assert [float(size.replace("Infinity", "inf")) for size in sizes] == pytest.approx(flat.tolist(), nan_ok=True)
        assert rows == square.tolist()
        assert (text, none, same, kind, part) == (["a"], None, True, "Float64Array", "Int16Array")
        page.evaluate("() => { Uint8Array.fromBase64 = undefined; }")  # as in a browser of before 2025


def test_no_figure_offers_to_send_its_data_away(visit):
    page = visit.open("/run/lstm-40-0.0")
    sends = "() => [...document.querySelectorAll('.js-plotly-plot')].map((gd) => gd._context.showSendToCloud)"
    assert set(page.evaluate(sends)) == {False}
    assert page.locator(".modebar-btn").count() > 10
    assert page.locator(".modebar-btn[data-title*='loud'], .modebar-btn[data-title*='pload']").count() == 0


def test_training_is_switched_in_place_and_the_zoom_stays(visit):
    page = visit.open("/run/lstm-40-0.0?iteration=0")
    card = "Transport to the last state"
    before, seen = visit.figures()[card], visit.zoom("Transport to the last state")
    assert seen != before["range"]
    page.locator("#iteration").get_by_text("After 60").click()
    page.wait_for_url(re.compile(r"iteration=60"), wait_until="commit")
    expect(page.locator("#summary .verdict")).to_have_text("stable: e⁻¹ over 40 steps")
    visit.ready()
    for _ in range(100):  # a figure stays until the next one is there
        if visit.figures()[card]["y"] != before["y"]:
            break
        page.wait_for_timeout(100)
    assert visit.figures()[card]["y"] != before["y"]
    assert visit.figures()[card]["range"] == seen
    page.go_back()
    expect(page.locator("#summary .verdict")).to_have_text("vanishing: e⁻⁸ over 40 steps")


def test_the_overview_hands_on_which_moment_it_showed(visit):
    page = visit.open("/run/lstm-40-0.0?when=last")
    expect(page.locator("#iteration input:checked")).to_have_value("60")


def test_a_gate_is_chosen_for_the_heat_map(visit):
    page = visit.open("/run/lstm-40-0.0")
    css = "#content .card[aria-label='Gate activation'] .js-plotly-plot"
    z = "(css) => Array.from(document.querySelector(css)._fullData[0].z[0])"
    first = page.evaluate(z, css)
    choose(visit, "Gate activation", "output")
    expect(page.locator(css)).to_contain_text("output")
    assert page.evaluate(z, css) != first
    choose(visit, "Gate activation", "distribution")
    expect(page.locator(css)).to_contain_text("candidate")


def test_gradients_are_told_apart_on_one_card(visit):
    page = visit.open("/run/lstm-40-0.0")
    caption = page.locator("#content .card[aria-label='State gradient'] .caption")
    expect(caption).to_contain_text("along every path")
    choose(visit, "State gradient", "direct")
    expect(caption).to_contain_text("immediate part")


@pytest.mark.parametrize(
    ("run", "card", "word"),
    [
        ("diverged", "Transport to the last state", "NaN"),
        ("underflow", "Transport to the last state", "below the float range"),
        ("zero", "Transport to the last state", "exactly zero"),
        ("infinite", "Jacobian norm per step", "inf"),
    ],
)
def test_what_is_no_ordinary_number_is_seen_as_such(visit, run, card, word):
    page = visit.open(f"/run/{run}")
    assert any(word in entry for entry in visit.figures()[card]["legend"]), visit.figures()[card]["legend"]
    alert = page.get_by_role("alert").filter(has_text="First bad step")
    if run in ("diverged", "infinite"):
        t, sequence = {"diverged": (41, 7), "infinite": (95, 0)}[run]
        expect(alert).to_contain_text(f"t = {t}, sequence {sequence}, forward pass")
        expect(page.locator("#summary .verdict")).to_contain_text("diverged")
    else:
        expect(alert).to_have_count(0)
        expect(page.locator("#summary .verdict")).to_contain_text("vanishing")


def test_a_figure_is_asked_for_when_the_reader_comes_near(visit):
    asked = []
    visit.page.on("request", lambda request: asked.append(request.post_data or ""))
    page = visit.page
    page.goto(visit.address + "/run/lstm-40-0.0")
    expect(page.locator("#content .card[aria-label='Transport to the last state'] .main-svg").first).to_be_visible()
    page.wait_for_timeout(500)
    far = page.locator("#content .card[aria-label='Non-normality']")
    expect(far.locator(".plot")).to_have_class(re.compile("is-waiting"))
    assert not any('"name":"nonnormality","type":"figure"' in text for text in asked)
    far.scroll_into_view_if_needed()
    expect(far.locator(".plot")).to_have_class(re.compile("is-drawn"))
    visit.ready()


@pytest.mark.parametrize(
    ("card", "words", "seen"),
    [
        ("Weight gradient by step", "b", "dL/db"),
        ("State gradient by unit", "block c", "sorted by mean"),
        ("What survives of each write", "sequence 0, signs", "w < 0"),
        ("Eigenvalues of the Jacobian", "spectral radius", "Spectral radius"),
    ],
)
def test_cards_of_several_pictures_let_one_choose(visit, card, words, seen):
    page = visit.open("/run/lstm-40-0.0")
    choose(visit, card, words)
    expect(page.locator(f"#content .card[aria-label='{card}'] .js-plotly-plot")).to_contain_text(seen)


def test_a_plain_rnn_has_no_card_for_what_it_lacks(visit):
    visit.open("/run/rnn-20-None")
    assert not {"Retention", "Timescale of each unit", "Cell-state flow", "Transport by block"} & set(visit.figures())


def test_one_figure_that_fails_leaves_the_others_alone(visit, monkeypatch):
    good = figures.figure

    def broken(name, record, **options):
        if name == "jacobian_norm":
            raise ZeroDivisionError("no norm today")
        return good(name, record, **options)

    monkeypatch.setattr(figures, "figure", broken)
    page = visit.open("/run/gru-20-0.0")
    failed = page.locator("#content .card[aria-label='Jacobian norm per step']")
    expect(failed.locator(".plot-notice")).to_contain_text("ZeroDivisionError: no norm today")
    others = visit.figures()
    assert "Jacobian norm per step" not in others
    assert "Jacobian rms per step" in others


def test_the_arrow_keys_turn_to_the_runs_before_and_after_in_the_order_of_the_overview(visit):
    page = visit.open("/run/gru-20-2.0?cell=GRU&sort=-length")
    expect(page.locator(".place")).to_have_text("4 of 4")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(lambda url: "/run/gru-20-0.0?cell=GRU&sort=-length" in unquote(url), wait_until="commit")
    expect(page.locator(".place")).to_have_text("3 of 4")
    visit.ready()
    page.get_by_role("link", name="Next run").click()
    expect(page.locator(".place")).to_have_text("4 of 4")
    visit.ready()


def test_the_marked_time_and_what_cards_show_stay_from_run_to_run(visit):
    page = visit.open("/run/lstm-20-0.0?cell=LSTM&sort=length&t=7")
    choose(visit, "State gradient", "cell state")
    page.get_by_role("link", name="Next run").click()
    page.wait_for_url(re.compile("/run/lstm-20-2.0"), wait_until="commit")
    visit.ready()
    expect(page.get_by_role("combobox", name="What the card State gradient shows")).to_have_value("cell state")
    expect(page.locator("#cursor-value")).to_have_text("7")
    assert "cell=LSTM&sort=length&t=7&show=state_gradient:cell state" in unquote(page.url)
    page.go_back()
    page.wait_for_url(re.compile("/run/lstm-20-0.0"), wait_until="commit")
    expect(page.locator(".place")).to_have_text("1 of 5")


def test_a_failed_run_tells_how_it_ended_and_a_running_one_that_it_runs(visit):
    page = visit.open("/run/failed")
    expect(page.get_by_role("heading", name="This run failed")).to_be_visible()
    expect(page.locator("pre.error")).to_have_text(f"MemoryError: {visit.markup}")
    page = visit.open("/run/running")
    expect(page.get_by_role("heading", name="This run is in work")).to_be_visible()


@pytest.fixture(scope="module")
def networks(serve, tmp_path_factory):
    """Return a dashboard over a stack and a network of both directions."""
    path, rng = tmp_path_factory.mktemp("networks") / "results.db", np.random.default_rng(0)
    kinds = {"stack": gs.Stack([gs.LSTM(3, 6), gs.GRU(6, 4)]), "both": gs.Bidirectional(gs.LSTM(3, 5))}
    with Store(path, "w") as store:
        sweep = store.add_sweep("networks", {})
        for name, network in kinds.items():
            record = gs.probe(network, network.init(rng), rng.standard_normal((12, 4, 3)), probes="cheap")
            store.start_run(name, sweep, {"cell": name, "length": 12, "iterations": 0})
            store.finish_run(name, {0: record}, {}, 0.1)
    return serve(path)


def test_a_layer_is_chosen_for_the_whole_page_and_stands_in_the_link(visit, networks):
    visit.address = networks.address
    page = visit.open("/run/stack")
    assert "Gate activation" not in visit.figures()
    expect(page.get_by_role("radio", name="whole")).to_be_checked()
    expect(page.locator("#aside .note").first).to_have_text("Probed once, untrained.")
    page.get_by_role("radio", name="layer1").check()
    page.wait_for_url(re.compile("layer=layer1"), wait_until="commit")
    expect(page.locator("#summary .verdict")).to_contain_text("layer1")
    expect(page.locator("#content .card[aria-label='Gate activation']")).to_be_attached()
    visit.ready()
    assert visit.figures()["Gate activation"]["numbers"] > 1
    page = visit.open("/run/stack?layer=layer2")
    expect(page.get_by_role("radio", name="layer2")).to_be_checked()
    choose(visit, "Gate activation", "reset")
    page.go_back()
    expect(page.get_by_role("radio", name="layer1")).to_be_checked()


def test_a_direction_that_reads_from_the_end_says_so(visit, networks):
    visit.address = networks.address
    page = visit.open("/run/both")
    expect(page.get_by_role("radio", name="whole")).to_have_count(0)  # two directions have no Jacobian in common
    expect(page.get_by_role("radio", name="forward")).to_be_checked()
    page.get_by_role("radio", name="backward").check()
    expect(page.locator("#summary")).to_contain_text("This direction reads from the end")
    visit.ready()
