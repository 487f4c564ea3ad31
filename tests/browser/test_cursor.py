"""The time cursor of the run page: one step, marked in every figure along the sequence."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

RUN = "/run/lstm-40-0.0"
FIRST, SECOND = "Transport to the last state", "Transport by block"
LOWERED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
MARKS = """() => Object.fromEntries([...document.querySelectorAll(".plot.is-drawn .js-plotly-plot")].map((gd) => {
    const mark = gd.closest(".plot").querySelector(":scope > .cursor:not([hidden])");
    const axis = gd._fullLayout.xaxis;
    const moved = mark && new DOMMatrix(getComputedStyle(mark).transform).m41;
    const step = mark ? Math.round(axis.p2l(moved - axis._offset) * 100) / 100 : null;
    return [gd.closest(".card").getAttribute("aria-label"), { along: (gd.layout.meta || {}).along || null, step }];
}))"""
PLACE = """([card, step]) => {
    const gd = document.querySelector(`#content .card[aria-label='${card}'] .js-plotly-plot`);
    const box = gd.getBoundingClientRect();
    const axis = gd._fullLayout.xaxis;
    return [box.left + axis._offset + axis.l2p(step), box.top + gd._fullLayout._size.t + gd._fullLayout._size.h / 2];
}"""


def card(page, name):
    return page.locator(f"#content .card[aria-label='{name}']")


def point(page, name: str, step: float) -> None:
    """Move the pointer over a step of a figure."""
    page.evaluate("() => window.scrollTo(0, 0)")
    page.mouse.move(*page.evaluate(PLACE, [name, step]))


def marked(page, step: float | None) -> None:
    """Wait until every figure along the sequence marks a step, to a hundredth, and no other one does."""
    page.wait_for_function(
        f"""(step) => {{
            const found = Object.entries(({MARKS})());
            const along = found.filter(([, one]) => one.along);
            return along.length > 1 && along.every(([, one]) => step === null ? one.step === null
                : one.step !== null && Math.abs(one.step - step) < 0.2)
                && found.every(([, one]) => one.along || one.step === null);
        }}""",
        arg=step,
        timeout=90_000,
    )


@pytest.fixture
def opened(visit):
    visit.page.goto(visit.address + RUN)
    for name in (FIRST, SECOND):
        expect(card(visit.page, name).locator(".plot.is-drawn .main-svg").first).to_be_visible(timeout=60_000)
    return visit.page


def test_pointing_at_one_figure_marks_the_step_on_all(opened):
    page = opened
    point(page, FIRST, 17)
    marked(page, 17)
    expect(page.locator("#cursor-value")).to_have_text("17")
    point(page, FIRST, 30.3)
    marked(page, 30)
    page.mouse.move(5, 5)
    marked(page, None)
    expect(page.locator("#cursor-value")).to_have_text("–")
    assert "t=" not in page.url


def test_a_click_keeps_the_step_in_the_link_and_escape_lets_it_go(opened):
    page = opened
    point(page, FIRST, 12)
    page.mouse.down()
    page.mouse.up()
    page.mouse.move(5, 5)
    marked(page, 12)
    assert page.url.endswith("?t=12")
    expect(page.get_by_role("slider", name="Time step that every figure marks")).to_have_value("12")
    page.keyboard.press("Escape")
    marked(page, None)
    assert "t=" not in page.url


def test_a_link_opens_with_its_step_and_another_iteration_keeps_it(visit, opened):
    page = opened
    page.goto(visit.address + RUN + "?iteration=0&t=25")
    expect(card(page, FIRST).locator(".plot.is-drawn .main-svg").first).to_be_visible(timeout=60_000)
    marked(page, 25)
    page.locator("#iteration").get_by_text("After 60").click()
    page.wait_for_url(re.compile("iteration=60"), wait_until="commit")
    expect(page.locator("#summary .verdict")).to_contain_text("stable")
    marked(page, 25)
    assert "t=25" in page.url
    page.get_by_role("button", name="Clear the mark").click()
    marked(page, None)
    assert "t=" not in page.url


def test_the_keyboard_moves_the_mark_by_figure_and_by_slider(opened):
    page = opened
    body = card(page, FIRST).locator(".plot")
    body.focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    marked(page, 13)
    assert "/run/lstm-40-0.0" in page.url  # and no other run was opened
    page.keyboard.press("ArrowLeft")
    marked(page, 12)
    page.keyboard.press("End")
    marked(page, 40)
    slider = page.get_by_role("slider", name="Time step that every figure marks")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    marked(page, 39)
    expect(page.locator("#cursor-value")).to_have_text("39")


def test_the_mark_says_what_the_curves_are_there(opened):
    page = opened
    point(page, FIRST, 20)
    shown = card(page, SECOND).locator(".cursor-label")
    expect(shown.locator("span")).to_have_count(4)
    expect(card(page, FIRST).locator(".cursor-label")).to_be_hidden()  # Plotly's own box says it there
    wanted = page.evaluate(
        """(card) => document.querySelector(`#content .card[aria-label='${card}'] .js-plotly-plot`)._fullData
            .filter((trace) => (trace.meta || {}).role === "median").map((trace) => 10 ** trace.y[20])""",
        SECOND,
    )
    texts = shown.locator("span").all_inner_texts()
    plain = [text.translate(LOWERED).replace("×10", "e") for text in texts]
    assert [float(text) for text in plain] == pytest.approx(wanted, rel=1e-3)


def test_a_zoom_moves_the_mark_and_keeps_no_step(visit, opened):
    page = opened
    point(page, SECOND, 20)
    page.mouse.down()
    page.mouse.up()
    visit.zoom(FIRST)
    page.mouse.move(5, 5)
    assert "t=20" in page.url
    marked(page, 20)
