"""Every figure leaves its page as a picture, as a drawing and as numbers: real downloads of a real browser."""

from __future__ import annotations

import csv
import io
import math
import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import expect

from gradscope.dashboards import cards

RUN = "/run/lstm-40-0.0"
DRAWN = """(card) => {
    const gd = document.querySelector(`#content .card[aria-label='${card}'] .js-plotly-plot`);
    return gd._fullData.map((trace) => ({
        role: (trace.meta || {}).role, part: (trace.meta || {}).part, type: trace.type, name: trace.name,
        x: trace.x ? Array.from(trace.x) : [], y: trace.y ? Array.from(trace.y) : [],
        z: trace.z ? Array.from(trace.z, (row) => Array.from(row)) : null,
    }));
}"""


def near(visit, path: str, card: str):
    """Open a page and wait for one of its figures alone."""
    page = visit.page
    page.goto(visit.address + path)
    box = page.locator(f"#content .card[aria-label='{card}']")
    expect(box).to_be_attached(timeout=60_000)
    box.evaluate("node => node.scrollIntoView({ block: 'center' })")
    expect(box.locator(".plot.is-drawn .main-svg").first).to_be_visible(timeout=60_000)
    return page


def export(visit, card: str, kind: str) -> tuple[str, bytes]:
    """Save a card's figure by its menu, and return the file's name and bytes."""
    page = visit.page
    page.get_by_role("button", name=f"Save the figure {card}", exact=True).click()
    with page.expect_download() as waited:
        page.get_by_role("menuitem", name=cards.EXPORTS[kind]).click()
    return waited.value.suggested_filename, Path(waited.value.path()).read_bytes()


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def svg_texts(content: bytes) -> str:
    root = ElementTree.fromstring(content)
    return " ".join("".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text"))


def test_the_numbers_equal_the_curve_that_is_drawn(visit):
    page = near(visit, RUN, "Transport to the last state")
    name, content = export(visit, "Transport to the last state", "csv")
    assert name == "lstm-40-0.0_transport.csv"
    found = rows(content)
    traces = page.evaluate(DRAWN, "Transport to the last state")
    curve = next(trace for trace in traces if trace["role"] == "median")
    median = [row for row in found if row["part"] == "median"]
    assert [float(row["value"]) for row in median] == curve["y"]
    assert [float(row["time"]) for row in median] == curve["x"]
    band = next(trace for trace in traces if trace["role"] == "band")
    size = (len(band["y"]) - 1) // 2
    assert [float(row["value"]) for row in found if row["part"] == "5 %"] == band["y"][:size]
    assert [float(row["value"]) for row in found if row["part"] == "95 %"] == band["y"][size:-1][::-1]


def test_the_numbers_equal_the_heat_map_that_is_drawn_and_name_its_gaps(visit):
    page = near(visit, "/run/diverged", "State gradient by unit")
    name, content = export(visit, "State gradient by unit", "csv")
    assert name == "diverged_unit_gradient.csv"
    found = rows(content)
    values, marks = page.evaluate(DRAWN, "State gradient by unit")[:2]
    cells = {(row["unit"], float(row["time"])): row for row in found}
    assert len(cells) == len(found) == len(values["x"]) * len(values["y"])
    for unit, line, mark in zip(values["y"], values["z"], marks["z"], strict=True):
        for time, value, marked in zip(values["x"], line, mark, strict=True):
            row = cells[unit, time]
            if marked == 1:
                assert (row["value"], row["status"]) == ("NaN", "NaN")
            else:
                assert float(row["value"]) == value
                assert row["status"] == "ok"
    assert any(row["status"] == "NaN" for row in found)


def test_zeros_and_what_lies_below_the_float_range_keep_their_numbers(visit):
    near(visit, "/run/underflow", "Transport to the last state")
    low = rows(export(visit, "Transport to the last state", "csv")[1])
    assert min(float(row["value"]) for row in low) < -400
    assert "below the float range" in {row["status"] for row in low}
    near(visit, "/run/zero", "Transport to the last state")
    gone = rows(export(visit, "Transport to the last state", "csv")[1])
    zeros = [row for row in gone if row["status"] == "exactly zero" and row["part"] == "median"]
    assert zeros
    assert all(float(row["value"]) == -math.inf for row in zeros)


def test_a_picture_stands_alone(visit):
    page = near(visit, RUN, "Transport to the last state")
    name, content = export(visit, "Transport to the last state", "png")
    assert name == "lstm-40-0.0_transport.png"
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    shown = page.locator("#content .card[aria-label='Transport to the last state'] .js-plotly-plot").bounding_box()
    assert width >= 2 * max(720, shown["width"])
    assert height > 2 * shown["height"]  # room for the title and the caption
    brightest = page.evaluate(
        """async (bytes) => {
            const image = await createImageBitmap(new Blob([new Uint8Array(bytes)], { type: "image/png" }));
            const canvas = new OffscreenCanvas(image.width, image.height);
            const brush = canvas.getContext("2d");
            brush.drawImage(image, 0, 0);
            const pixels = brush.getImageData(0, 0, image.width, image.height).data;
            const colours = new Set();
            for (let i = 0; i < pixels.length; i += 4) colours.add(pixels.slice(i, i + 3).join());
            return { corner: Array.from(pixels.slice(0, 4)), colours: colours.size };
        }""",
        list(content),
    )
    assert brightest["corner"] == [255, 255, 255, 255]  # not transparent, and the card's own white
    assert brightest["colours"] > 50


def test_a_drawing_has_title_run_and_caption_and_the_colours_in_use(visit):
    page = near(visit, RUN, "Gate activation")
    caption = page.locator("#content .card[aria-label='Gate activation'] .caption").inner_text()
    name, content = export(visit, "Gate activation", "svg")
    assert name == "lstm-40-0.0_gate_activation_forget.svg"
    text = svg_texts(content)
    assert "Gate activation: forget" in text
    assert "LSTM, 8 units, tanh, forget bias 0, 40 steps" in text
    assert caption[:30] in text
    assert b"data:image/png" in content  # the heat map lies in the file itself
    assert b"rgb(255, 255, 255)" in content
    page.get_by_role("button", name="Change between dark and light").click()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
    page.wait_for_function(
        """() => document.querySelector("#content .card[aria-label='Gate activation'] .js-plotly-plot")
            ._fullLayout.font.color === "#e4e6e8" """
    )
    dark = export(visit, "Gate activation", "svg")[1]
    background = re.search(rb'<rect[^>]*fill="(rgb[^"]*)"', dark)
    assert background is not None
    assert sum(int(part) for part in re.findall(rb"\d+", background[1])) < 150


def test_the_menu_is_for_the_keyboard_too(visit):
    page = near(visit, RUN, "Transport to the last state")
    button = page.get_by_role("button", name="Save the figure Transport to the last state", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menu")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menu")).to_be_visible()
    with page.expect_download() as waited:
        item = page.get_by_role("menuitem", name=cards.EXPORTS["csv"])
        for _ in range(4):
            if item.evaluate("node => node === document.activeElement"):
                break
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
    assert waited.value.suggested_filename.endswith(".csv")


@pytest.mark.parametrize(("path", "card"), [("/", "Phase map"), ("/", "Verdicts"), ("/scope", "Transport")])
def test_figures_of_the_other_pages_leave_as_well(visit, path, card):
    page = visit.open(path)
    heading = page.locator("#content .figure-card h3").filter(has_text=card).first.inner_text()
    for kind in cards.EXPORTS:
        name, content = export(visit, heading, kind)
        assert name.endswith(f".{kind}")
        assert len(content) > 100
        if kind == "csv":
            assert "value" in rows(content)[0]


def test_what_is_no_figure_is_refused_by_the_server(visit):
    page = visit.open("/")
    for sent in ("[1]", "not JSON", '{"data": [{"type": "heatmap", "z": 3}]}'):
        answer = page.request.post(f"{visit.address}/figure.csv", data=sent)
        assert answer.status == 400
        assert "not a figure" in answer.text()
