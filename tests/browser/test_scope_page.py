"""The Scope in a real browser: each knob, the three states, pinning, code and link."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

SMALL = "hidden_size=8&length=30&batch=4"
TITLES = {"Transport to the last state", "Jacobian norms per step", "Gates", "Cell-state flow"}


def at_rest(visit):
    """Wait until everything is exact."""
    expect(visit.page.locator("#scope-state")).to_have_text("exact")
    expect(visit.page.locator("#scope-verdict")).not_to_have_class(re.compile("is-old"))
    return visit.ready()


def opened(visit, query: str = ""):
    """Open the scope on a small setting."""
    visit.page.goto(f"{visit.address}/scope?{SMALL}&{query}".rstrip("&"))
    return at_rest(visit)


def knob(page, name: str):
    """Return the thumb of a slider."""
    return page.get_by_role("slider", name=name)


def asked(page) -> dict[str, list[str]]:
    """Return the link's parameters."""
    return parse_qs(urlsplit(page.url).query)


def notes(page) -> str:
    """Return what is written in all figures."""
    return page.locator(".scope-cards").inner_text()


def drag(page, name: str, pixels: int) -> None:
    """Take hold of a slider and move it, without letting go."""
    box = knob(page, name).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
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
    expect(page.locator("#scope-state")).to_have_text("sampled while you drag")
    expect(page.locator(".scope-cards")).to_contain_text("16 random directions")
    expect(page.locator("#scope-verdict")).to_have_class(re.compile("is-old"))
    page.wait_for_timeout(700)  # longer than a pause that would count as letting go
    expect(page.locator("#scope-state")).to_have_text("sampled while you drag")
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
        ("Forget bias", "ArrowRight", ["forget_bias", "1.1"]),
        ("Seed", "ArrowRight", ["seed", "1"]),
    ]
    for name, key, link in turns:
        before = visit.figures()["Transport to the last state"]["y"]
        knob(page, name).press(key)
        page.wait_for_function(LINKED, arg=link)
        at_rest(visit)
        assert visit.figures()["Transport to the last state"]["y"] != before, name


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
    box = knob(page, "Gain").bounding_box()
    for number in range(20):
        page.mouse.move(box["x"] + 5 + number, box["y"] + 5)
    page.wait_for_timeout(600)
    assert urls
    assert not any("exact=1" in url for url in urls)
    assert max(flying) == 1
    page.mouse.up()
    at_rest(visit)
    gain = knob(page, "Gain").get_attribute("aria-valuenow")
    assert parse_qs(urlsplit(page.evaluate("() => window.gradscopeShown.url")).query)["gain"] == [gain]
    assert asked(page)["gain"] == [gain]


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
