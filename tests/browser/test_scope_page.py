"""The Scope in a real browser: each knob, the three states, pinning, code and link."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import expect

SMALL = "hidden_size=8&length=30&batch=4"
TITLES = {"Transport to the last state", "Jacobian norms per step", "Gates", "Cell-state flow"}


SLOW = 90_000  # milliseconds for what is measured exactly on a machine that does other things, too
SAMPLED = "sampled while you drag"


def at_rest(visit):
    """Wait until everything is exact."""
    expect(visit.page.locator("#scope-state")).to_have_text("exact", timeout=SLOW)
    expect(visit.page.locator("#scope-verdict")).not_to_have_class(re.compile("is-old"))
    return visit.ready()


def opened(visit, query: str = ""):
    """Open the scope on a small setting."""
    visit.page.set_default_timeout(SLOW)
    visit.page.goto(f"{visit.address}/scope?{SMALL}&{query}".rstrip("&"))
    return at_rest(visit)


def knob(page, name: str):
    """Return a slider."""
    return page.get_by_role("slider", name=name)


def thumb(page, name: str) -> tuple[float, float]:
    """Return where the thumb of a slider is."""
    box = knob(page, name).bounding_box()
    share = knob(page, name).evaluate("one => (one.value - one.min) / (one.max - one.min)")
    return box["x"] + 8 + (box["width"] - 16) * share, box["y"] + box["height"] / 2


def asked(page) -> dict[str, list[str]]:
    """Return the link's parameters."""
    return parse_qs(urlsplit(page.url).query)


def notes(page) -> str:
    """Return what is written in all figures."""
    return page.locator(".scope-cards").inner_text()


def drag(page, name: str, pixels: int) -> None:
    """Take hold of a slider and move it, without letting go."""
    x, y = thumb(page, name)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + pixels, y, steps=4)


def test_it_opens_exact_from_the_header_with_four_figures(visit):
    page = visit.open("/")
    page.get_by_role("link", name="Scope", exact=True).click()
    at_rest(visit)
    expect(page).to_have_title("Scope · gradscope")
    found = visit.figures()
    assert set(found) == TITLES
    assert all(figure["numbers"] > 100 for figure in found.values())
    expect(page.locator("#scope-verdict")).to_contain_text("over 200 steps")


def test_while_a_slider_is_dragged_it_is_sampled_and_exact_when_let_go(visit):
    page = opened(visit)
    assert "Sampled" not in notes(page)
    assert "largest stretch" in visit.figures()["Jacobian norms per step"]["legend"]
    before = visit.figures()["Transport to the last state"]["y"]
    drag(page, "Gain", 30)
    expect(page.locator("#scope-state")).to_have_text(SAMPLED, timeout=SLOW)
    expect(page.locator(".scope-cards")).to_contain_text("16 random directions")
    expect(page.locator("#scope-verdict")).to_have_class(re.compile("is-old"))
    page.wait_for_timeout(700)  # longer than a pause that would count as letting go
    expect(page.locator("#scope-state")).to_have_text(SAMPLED, timeout=SLOW)
    during = visit.figures()
    assert "95 % sampling error" in during["Transport to the last state"]["legend"]
    assert "largest stretch" not in during["Jacobian norms per step"]["legend"]
    assert during["Transport to the last state"]["y"] != before
    page.mouse.up()
    at_rest(visit)
    assert "95 % sampling error" not in visit.figures()["Transport to the last state"]["legend"]
    assert float(asked(page)["gain"][0]) > 1


LINKED = "([name, value]) => new URLSearchParams(location.search).get(name) === value"


def test_each_slider_follows_the_keyboard(visit):
    page = opened(visit)
    turns = [
        ("Hidden size", "ArrowRight", ["hidden_size", "9"]),
        ("Length", "ArrowLeft", ["length", "29"]),
        ("Gain", "ArrowRight", ["gain", "1.01"]),
        ("Sequences", "ArrowRight", ["batch", "5"]),
        ("Forget bias", "ArrowRight", ["forget_bias", "1.1"]),
    ]
    for name, key, link in turns:
        before = visit.figures()["Transport to the last state"]["y"]
        knob(page, name).press(key)
        page.wait_for_function(LINKED, arg=link)
        at_rest(visit)
        assert visit.figures()["Transport to the last state"]["y"] != before, name


def test_each_slider_follows_the_mouse(visit):
    page = opened(visit)
    for name, link in [
        ("Hidden size", "hidden_size"),
        ("Length", "length"),
        ("Sequences", "batch"),
        ("Gain", "gain"),
        ("Forget bias", "forget_bias"),
    ]:
        drag(page, name, 30)
        expect(page.locator("#scope-state")).to_have_text(SAMPLED, timeout=SLOW)
        page.mouse.up()
        at_rest(visit)
        assert asked(page)[link] == [knob(page, name).input_value()], name


def test_a_seed_is_typed(visit):
    page = opened(visit)
    before = visit.figures()["Transport to the last state"]["y"]
    seed = page.get_by_role("textbox", name="Seed")
    seed.fill("1234")
    page.wait_for_function(LINKED, arg=["seed", "1234"])
    at_rest(visit)
    assert visit.figures()["Transport to the last state"]["y"] != before
    seed.fill("")
    expect(page.locator("#scope-state")).to_contain_text("`seed` must be a whole number from 0 to 9999")
    expect(page.locator(".scope-cards")).to_have_class(re.compile("is-refused"))
    seed.fill("7")
    page.wait_for_function(LINKED, arg=["seed", "7"])
    at_rest(visit)
    expect(page.locator(".scope-cards")).not_to_have_class(re.compile("is-refused"))


def test_each_choice_changes_the_figures_and_the_link(visit):
    page = opened(visit)
    turns = [
        ("Cell", "GRU", "cell"),
        ("Activation", "softsign", "activation"),
        ("Initializer of W_h", "gaussian", "initializer"),
        *(("Input", name, "signal") for name in ("digits", "text", "impulse", "constant")),
    ]
    for label, words, link in turns:
        before = visit.figures()["Transport to the last state"]["y"]
        page.get_by_role("textbox", name=label, exact=True).click()
        page.get_by_role("option", name=words, exact=True).click()
        page.wait_for_function(LINKED, arg=[link, words])
        at_rest(visit)
        assert visit.figures()["Transport to the last state"]["y"] != before, words


def test_a_setting_is_pinned_compared_and_unpinned_and_the_link_keeps_it(visit):
    page = opened(visit)
    expect(page.get_by_role("button", name="Remove the pinned setting")).to_be_hidden()
    page.get_by_role("button", name="Pin this setting").click()
    expect(page.locator("#scope-pinned")).to_contain_text("Pinned: LSTM, 8 units")
    knob(page, "Forget bias").press("ArrowRight")
    page.wait_for_function("() => new URLSearchParams(location.search).get('forget_bias') === '1.1'")
    at_rest(visit)
    assert all("pinned" in figure["legend"] for figure in visit.figures().values())
    seen = visit.figures()
    page.goto(page.url)
    at_rest(visit)
    again = visit.figures()
    assert again == seen
    page.get_by_role("button", name="Remove the pinned setting").click()
    expect(page.locator("#scope-pinned")).to_have_text("")
    page.wait_for_function("() => !new URLSearchParams(location.search).has('pin')")
    at_rest(visit)
    assert not any("pinned" in figure["legend"] for figure in visit.figures().values())


# What the page draws by itself as soon as it knows, read back through the axes that it was drawn into.
CATCH = """() => document.addEventListener("scope-drawn", () => {
    window.times = (window.times || 0) + 1;
    window.caught = [...document.querySelectorAll("g.live")].map((group) => {
        const gd = group.closest(".js-plotly-plot");
        const { xaxis, yaxis } = gd._fullLayout._plots.xy;
        const read = (text) => text.slice(1).split(/[ML]/).map((pair) => pair.split(",").map(Number));
        const [y0, y1] = yaxis.range, [x0, x1] = xaxis.range;
        return {
            turn: Number(group.dataset.turn),
            card: gd.closest(".card").querySelector("h3").textContent,
            hidden: getComputedStyle(group.parentNode.querySelector(".scatterlayer")).visibility,
            notes: [...gd.querySelectorAll(".annotation-text")].map((note) => note.textContent),
            ends: [y0, y1],
            pixel: Math.abs(y1 - y0) / yaxis._length,
            lines: [...group.childNodes].filter((path) => path.getAttribute("fill") === "none").map((path) =>
                read(path.getAttribute("d")).map(([x, y]) =>
                    [x0 + x * (x1 - x0) / xaxis._length, y1 - y * (y1 - y0) / yaxis._length])),
        };
    });
})"""
LINES = """() => Object.fromEntries([...document.querySelectorAll(".plot.is-drawn .js-plotly-plot")].map((gd) => [
    gd.closest(".card").querySelector("h3").textContent,
    gd._fullData.filter((one) => one.mode === "lines" && one.fill === "none" && one.y.length > 2)
        .map((one) => ({ name: one.name, x: [...one.x], y: [...one.y], turn: gd.layout.meta.turn })),
]))"""


def test_what_is_drawn_at_once_is_what_plotly_draws_when_the_hand_rests(visit):
    page = opened(visit)
    page.evaluate(CATCH)
    drag(page, "Gain", 4)
    page.wait_for_function("() => window.times > 0")
    (x, y), caught = thumb(page, "Gain"), []
    for number in range(10):  # a figure whose axes must change is drawn by Plotly at once
        before = page.evaluate("() => window.times")
        page.mouse.move(x + 2 + 2 * number, y)
        page.wait_for_function("(before) => window.times > before", arg=before)
        page.wait_for_function("() => document.querySelectorAll('g.live').length === 0")  # Plotly has caught up
        drawn, found = page.evaluate(f"() => [({LINES})(), window.caught]")
        caught += [one for one in found if drawn[one["card"]][0]["turn"] == one["turn"]]
        if caught:
            break
    assert caught
    for one in caught:
        assert one["hidden"] == "hidden"
        assert all("Exact" not in note for note in one["notes"])
        theirs = drawn[one["card"]]
        assert len(one["lines"]) == len(theirs)
        for ours, trace in zip(one["lines"], theirs, strict=True):
            x, y = np.array(ours).T
            kept = np.isfinite(np.array(trace["y"], float))
            np.testing.assert_allclose(x, np.array(trace["x"])[kept], atol=0.05)
            np.testing.assert_allclose(y, np.array(trace["y"], float)[kept], atol=0.2 * one["pixel"])
    page.mouse.up()
    at_rest(visit)


RANGES = """() => [...document.querySelectorAll(".plot.is-drawn .js-plotly-plot")].map((gd) =>
    [gd._fullLayout.xaxis.range, gd._fullLayout.yaxis.range].flat().map((end) => Number(end.toPrecision(9))))"""


def test_axes_follow_the_curves_while_a_slider_moves_and_are_those_of_its_link_when_it_rests(visit):
    page = opened(visit)
    page.evaluate(CATCH)
    drag(page, "Gain", -60)  # to where the transport spans many decades
    page.wait_for_function("() => window.times > 0 && document.querySelectorAll('g.live').length === 0")
    x, y = thumb(page, "Gain")
    for number in range(6):
        before = page.evaluate("() => window.times")
        page.mouse.move(x - 2 - 4 * number, y)
        page.wait_for_function("(before) => window.times > before", arg=before)
        for one in page.evaluate("() => window.caught"):
            inside = np.array([end for line in one["lines"] for _, end in line])
            low, high = sorted(one["ends"])
            assert ((inside > low) & (inside < high)).all(), one["card"]
    page.mouse.up()
    at_rest(visit)
    seen = page.evaluate(RANGES)
    page.goto(page.url)
    at_rest(visit)
    assert page.evaluate(RANGES) == seen


def test_the_code_gives_the_numbers_that_are_drawn(visit, tmp_path):
    page = opened(visit, "cell=GRU&gain=1.5&seed=3&batch=5")
    drawn = {card: {line["name"]: line["y"] for line in lines} for card, lines in page.evaluate(LINES).items()}
    page.get_by_role("button", name="Show the Python code").click()
    code = page.locator("#scope-code").inner_text().replace(".show()", "")
    script, found = tmp_path / "code.py", tmp_path / "found.npz"
    script.write_text(f"{code}\nnp.savez({str(found)!r}, **dict(record))\n")
    subprocess.run([sys.executable, script], check=True, cwd=tmp_path, capture_output=True)
    record = np.load(found)
    medians = {
        ("Transport to the last state", "median"): np.median(record["transport"], axis=1),
        ("Jacobian norms per step", "largest stretch"): np.log10(np.median(record["jacobian_norm"], axis=1)),
        ("Jacobian norms per step", "rms stretch"): np.log10(np.median(record["jacobian_rms"], axis=1)),
        ("Gates", "update"): np.median(record["gate_activation"][1], axis=1),
    }
    for (card, name), values in medians.items():
        np.testing.assert_allclose(drawn[card][name], values, rtol=1e-6, atol=1e-6, err_msg=f"{card}, {name}")


# Files ---------------------------------------------------------------------------------------------------------------


def choose(page, path) -> None:
    """Choose a file, as a reader does."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").first.click()
    chooser.value.set_files(path)


def test_a_file_of_ones_own_is_shown_and_its_link_reopens(visit, tmp_path):
    np.save(tmp_path / "waves.npy", np.random.default_rng(0).standard_normal((200, 6, 2)))
    page = opened(visit)
    expect(page.get_by_role("button", name="Choose a file")).to_have_count(0)  # none that can be seen
    before = visit.figures()["Transport to the last state"]["y"]
    page.get_by_role("textbox", name="Input", exact=True).click()
    page.get_by_role("option", name="own file", exact=True).click()
    expect(page.locator("#scope-state")).to_have_text("no file yet")
    choose(page, tmp_path / "waves.npy")
    page.wait_for_function("() => (new URLSearchParams(location.search).get('file') || '').endsWith('-waves.npy')")
    at_rest(visit)
    expect(page.locator("#scope-file-note")).to_have_text("waves.npy: 30 steps, 4 sequences, 2 features.")
    after = visit.figures()["Transport to the last state"]["y"]
    assert after != before
    page.goto(page.url)
    at_rest(visit)
    assert visit.figures()["Transport to the last state"]["y"] == after
    page.get_by_role("button", name="Show the Python code").click()
    expect(page.locator("#scope-code")).to_contain_text("load_inputs('waves.npy')[:30, :4]")


def test_a_file_is_dropped_on_the_page_whatever_the_input_is(visit):
    page = opened(visit)
    page.evaluate(
        """() => {
            const carried = new DataTransfer();
            carried.items.add(new File(["1,2\\n3,4\\n5,6\\n"], "rows.csv"));
            const told = { dataTransfer: carried, bubbles: true, cancelable: true };
            ["dragover", "drop"].forEach((name) => document.body.dispatchEvent(new DragEvent(name, told)));
        }"""
    )
    expect(page.locator("#scope-file-note")).to_have_text("rows.csv: 3 steps, 1 sequence, 2 features.")
    at_rest(visit)
    assert asked(page)["signal"] == ["file"]


def test_a_file_that_the_server_has_lost_is_asked_for_again(visit):
    page = visit.page
    page.goto(f"{visit.address}/scope?{SMALL}&signal=file&file=01234567-waves.npy")
    expect(page.locator("#scope-awaits")).to_contain_text("does not hold waves.npy")
    page.get_by_role("textbox", name="Input", exact=True).click()
    page.get_by_role("option", name="noise", exact=True).click()
    at_rest(visit)
    expect(page.get_by_role("heading", name="Show a sequence of your own")).to_be_hidden()
    assert set(visit.figures()) == TITLES


def test_an_exact_measurement_that_takes_long_says_how_far_it_is(visit):
    page = visit.page
    page.goto(f"{visit.address}/scope?hidden_size=128&length=400")
    step = page.locator("#scope-step")
    expect(step).to_have_text(re.compile(r"^transport, \d+ %$"), timeout=SLOW)
    expect(page.locator("#scope-state")).to_have_text("measuring exactly …")
    assert len(visit.figures()) == 4  # the sampled ones
    knob(page, "Hidden size").press("Home")  # nobody waits for it any more
    at_rest(visit)
    expect(step).to_have_text("")


def test_a_bad_file_says_what_is_wrong_and_a_good_one_mends_it(visit, tmp_path):
    page = visit.page
    page.goto(f"{visit.address}/scope?{SMALL}&signal=file")
    state = page.locator("#scope-state")
    expect(state).to_have_text("no file yet")
    expect(state).not_to_have_class(re.compile("is-refused"))
    expect(page.get_by_role("heading", name="Show a sequence of your own")).to_be_visible()
    expect(page.get_by_role("button", name="Pin this setting")).to_be_disabled()
    markup = "<img src=x onerror=window.hurt=1>"
    for name, content, words in [
        ("flat.npy", None, "(T, B, I) or (T, I), got (9,)"),
        ("broken.npy", "no array", "numpy.save"),
        ("table.csv", f"1,2\n3,{markup}\n", f"got '{markup}' in line 2"),
    ]:
        if content is None:
            np.save(tmp_path / name, np.zeros(9))
        else:
            (tmp_path / name).write_text(content)
        choose(page, tmp_path / name)
        expect(state).to_contain_text(words)
    assert page.evaluate("window.hurt") is None
    rows = np.random.default_rng(0).standard_normal((12, 2))
    (tmp_path / "table.csv").write_text("\n".join(f"{a},{b}" for a, b in rows))
    choose(page, tmp_path / "table.csv")
    at_rest(visit)
    expect(page.locator("#scope-file-note")).to_have_text("table.csv: 12 steps, 1 sequence, 2 features.")
    assert set(visit.figures()) == TITLES


def test_a_dense_cell_says_so_and_a_knob_that_a_cell_lacks_rests(visit):
    page = opened(visit, "cell=MGU")
    expect(page.locator("#scope-cell-note")).to_contain_text("up to 64 units and 200 steps")
    expect(knob(page, "Forget bias")).not_to_be_disabled()
    page.get_by_role("textbox", name="Cell", exact=True).click()
    page.get_by_role("option", name="RNN", exact=True).click()
    page.wait_for_function(LINKED, arg=["cell", "RNN"])
    at_rest(visit)
    expect(page.locator("#scope-cell-note")).to_have_text("")
    expect(knob(page, "Forget bias")).to_be_disabled()


def test_a_slider_goes_as_far_as_the_cell(visit):
    page = opened(visit)
    knob(page, "Hidden size").press("End")
    page.wait_for_function(LINKED, arg=["hidden_size", "128"])
    page.get_by_role("textbox", name="Cell", exact=True).click()
    page.get_by_role("option", name="MGU · dense", exact=True).click()
    page.wait_for_function(LINKED, arg=["cell", "MGU"])
    expect(page.locator("#scope-value-hidden_size")).to_have_text("64")
    assert knob(page, "Hidden size").get_attribute("max") == "64"
    knob(page, "Hidden size").press("Home")
    at_rest(visit)
    page.get_by_role("textbox", name="Cell", exact=True).click()
    page.get_by_role("option", name="RNN", exact=True).click()
    at_rest(visit)
    assert knob(page, "Hidden size").get_attribute("max") == "128"


def test_the_code_of_the_picture_is_shown_and_closed_by_the_keyboard(visit):
    page = opened(visit, "cell=GRU&gain=1.5")
    page.get_by_role("button", name="Show the Python code").press("Enter")
    code = page.locator("#scope-code")
    expect(code).to_be_visible()
    expect(code).to_contain_text("gs.GRU(")
    expect(code).to_contain_text("gain=1.5")
    compile(code.inner_text(), "scope", "exec")
    page.keyboard.press("Escape")
    expect(code).to_be_hidden()


def test_a_cell_without_a_flow_says_so(visit):
    page = opened(visit, "cell=RNN")
    expect(page.locator(".card[aria-label='Cell-state flow']")).to_contain_text("no gate that keeps")


@pytest.mark.parametrize(
    "query", ["cell=<img src=x onerror=window.hurt=1>", "length=1e9", "gain=nan", "pin=length%3D-1", "colour=red"]
)
def test_a_bad_link_gets_a_page_that_says_what_is_wrong(visit, query):
    page = visit.page
    page.goto(f"{visit.address}/scope?{query}")
    expect(page.get_by_role("heading", name="The Scope cannot show this")).to_be_visible()
    assert page.evaluate("window.hurt") is None
    page.get_by_role("link", name="Open the Scope").click()
    at_rest(visit)


def test_a_request_beyond_the_range_is_answered_with_words(visit):
    reply = visit.page.request.get(f"{visit.address}/scope/measure?hidden_size=100000")
    assert "from 2 to 128" in json.loads(reply.text())["error"]


def test_only_the_newest_setting_counts(visit):
    """While a slider is held, one request is under way at a time, none of them exact, and the last one is drawn."""
    page, urls, flying = opened(visit), [], [0]

    def begun(request) -> None:
        if "/scope/measure" in request.url:
            urls.append(request.url)
            flying.append(flying[-1] + 1)

    def ended(request) -> None:
        if "/scope/measure" in request.url:
            flying.append(flying[-1] - 1)

    page.on("request", begun)
    page.on("requestfinished", ended)
    page.on("requestfailed", ended)
    drag(page, "Gain", 10)
    x, y = thumb(page, "Gain")
    for number in range(20):
        page.mouse.move(x - 10 + number, y)
    page.wait_for_timeout(600)
    assert urls
    assert not any("exact=1" in url for url in urls)
    assert max(flying) == 1
    page.mouse.up()
    at_rest(visit)
    gain = knob(page, "Gain").input_value()
    assert parse_qs(urlsplit(page.evaluate("() => window.gradscopeShown.url")).query)["gain"] == [gain]
    assert asked(page)["gain"] == [gain]


def test_a_server_that_is_gone_is_told_of_and_asked_again(visit):
    page = opened(visit)
    page.route("**/scope/measure*", lambda route: route.abort())
    knob(page, "Gain").press("ArrowRight")
    expect(page.locator("#scope-state")).to_have_text("The server does not answer.")
    expect(page.locator(".scope-cards")).to_have_class(re.compile("is-refused"))
    page.unroute("**/scope/measure*")
    page.wait_for_function(LINKED, arg=["gain", "1.01"])
    at_rest(visit)
    expect(page.locator(".scope-cards")).not_to_have_class(re.compile("is-refused"))
    assert visit.errors
    visit.errors.clear()  # the browser's own words for requests that failed


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_figures_take_the_colours_in_use(visit, scheme):
    visit.page.emulate_media(color_scheme=scheme)
    opened(visit)
    ink = {figure["ink"] for figure in visit.figures().values()}
    assert len(ink) == 1


def test_every_control_has_a_name(visit):
    page = opened(visit)
    for role in ("slider", "button", "textbox"):
        for control in page.get_by_role(role).all():
            name = control.evaluate(
                "one => one.ariaLabel || one.textContent || (one.labels && one.labels[0] && one.labels[0].textContent)"
            )
            assert name, control.evaluate("one => one.outerHTML")
