"""The pages in a real browser without a network: they open, are filtered, clicked and used by keyboard, and run no markup.

The browser is Chromium or Chrome of the system (`apt-get install chromium`). Without one the tests are skipped, but fail where CI
is "true".
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import page_world as world
import pytest
from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer
from playwright.sync_api import Browser, Page, expect, sync_playwright

from raddistill.apps.page import command, offline_plots

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FOUND = next((path for name in NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    with contextlib.chdir(folder):
        world.build(folder)
        command.report(Path("page.html"), private=Path("errors.html"))
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if FOUND is None:
        told = f"no browser: none of {', '.join(NAMES)} is installed"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(told)
    with sync_playwright() as playwright:
        sandbox = os.geteuid() != 0  # Chromium's sandbox refuses root
        started = playwright.chromium.launch(executable_path=FOUND, chromium_sandbox=sandbox)
        yield started
        started.close()


@pytest.fixture
def view(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab without a network. Afterwards, nothing must have been asked for, and nothing complained of."""
    size, dark = getattr(request, "param", ((1200, 800), False))
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", offline=True
    )
    context.set_default_timeout(10_000)
    tab, wrong = context.new_page(), list[str]()
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: wrong.append(dialog.message))
    tab.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(asked.url))
    yield tab
    context.close()
    assert wrong == []


@pytest.fixture
def errors(view: Page, folder: Path) -> Page:
    view.goto((folder / "errors.html").as_uri())
    return view


def shown(tab: Page) -> list[str]:
    """The ids in the list."""
    return tab.locator("#list button").evaluate_all("found => found.map(b => b.firstChild.textContent)")


SIZES = [((1400, 900), False), ((1400, 900), True), ((360, 640), False)]


@pytest.mark.parametrize("view", SIZES, indirect=True, ids=["wide", "dark", "narrow"])
def test_the_page_opens_and_fits(view: Page, folder: Path) -> None:
    view.goto((folder / "page.html").as_uri())
    expect(view.get_by_role("heading", level=2)).to_have_count(9)
    expect(view.locator("figure [role=img]")).to_have_count(8)
    assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
    heights = view.locator("figure svg").evaluate_all("found => found.map(s => s.getBoundingClientRect().height)")
    assert min(heights) > 20
    # Ink and paper differ in both schemes, in charts as well: 4.5 is what WCAG asks of text
    ink, paper = (view.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    assert contrast(ink, paper) > 4.5
    assert view.locator("figure svg text").first.evaluate("node => getComputedStyle(node).fill") == ink
    for arm in ("student", "teacher", "linear", "base"):
        view.evaluate(f"document.body.style.outlineColor = 'var(--{arm})'")
        assert contrast(view.evaluate("getComputedStyle(document.body).outlineColor"), paper) > 3
    view.get_by_role("link", name="Noise in the teacher").click()
    expect(view.get_by_role("heading", name="Noise in the teacher")).to_be_in_viewport()
    view.get_by_text("Loss by step", exact=True).first.click()
    expect(view.get_by_role("cell", name="1.5000")).to_be_visible()


def contrast(one: str, other: str) -> float:
    """The ratio of contrast of two CSS colours, as WCAG defines it."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


KINDS = {
    "any_error": ["case-2", "case-3", "case-4", "case-5", "case-6", "case-9"],
    "student_wrong": ["case-4", "case-5", "case-6", "case-9"],
    "missed": ["case-4", "case-6", "case-9"],
    "false_alarm": ["case-5"],
    "teacher_wrong": ["case-2", "case-3", "case-6"],
    "mended": ["case-2", "case-3"],
    "added": ["case-4", "case-5", "case-9"],
    "both": ["case-6"],
    "disagree": ["case-10", "case-2", "case-3", "case-4", "case-5", "case-7", "case-9"],
    "ambiguous": ["case-7"],
    "stated": ["case-1", "case-10", "case-2", "case-3", "case-4", "case-5", "case-6", "case-7", "case-9"],
    "all": sorted(world.RUN),
}


def test_reports_are_filtered_by_kind_label_and_words(errors: Page) -> None:
    kinds = errors.locator("#kind option").evaluate_all("found => found.map(o => o.value)")
    assert kinds == list(KINDS)
    for kind, expected in KINDS.items():
        errors.select_option("#kind", kind)
        assert shown(errors) == expected, kind
        expect(errors.locator("#count")).to_contain_text(f"{len(expected)} of 10 reports")
    errors.select_option("#name", world.EDEMA)
    errors.select_option("#kind", "missed")
    assert shown(errors) == ["case-4", "case-6"]
    errors.fill("#words", "QUOKKA")
    assert shown(errors) == ["case-4"]
    errors.fill("#words", "no such word")
    expect(errors.get_by_text("No report matches.")).to_be_visible()
    errors.fill("#words", "")
    errors.select_option("#task", "open_ended")
    errors.select_option("#kind", "missed")
    assert shown(errors) == ["case-9"]
    expect(errors.locator("#report")).to_contain_text("small effusion | J90")
    errors.select_option("#kind", "false_alarm")
    assert shown(errors) == [world.UNMAPPED]
    expect(errors.get_by_role("row", name="(phrases without a concept)")).to_contain_text("present\u00a0✗")


def test_surest_errors_come_first(errors: Page) -> None:
    errors.select_option("#kind", "student_wrong")
    errors.select_option("#sort", "sure")
    assert shown(errors) == ["case-9", "case-5", "case-6", "case-4"]  # off by 0.98, 0.95, 0.9, 0.7


def test_the_browser_is_used_by_keyboard(errors: Page) -> None:
    heading = errors.get_by_role("heading", level=2)
    expect(heading).to_have_text("case-2")
    for key, expected in [("j", "case-3"), ("ArrowDown", "case-4"), ("k", "case-3"), ("ArrowUp", "case-2"), ("k", "case-2")]:
        errors.keyboard.press(key)
        expect(heading).to_have_text(expected)
    errors.locator("#kind").focus()
    errors.keyboard.press("j")
    expect(heading).to_have_text("case-3")
    errors.keyboard.press("/")
    errors.keyboard.type("quokka jj")  # a field takes letters as letters
    expect(errors.locator("#words")).to_have_value("quokka jj")
    errors.locator("#words").fill("quokka")
    errors.keyboard.press("Escape")
    expect(errors.locator("#words")).not_to_be_focused()
    expect(heading).to_have_text("case-4")
    expect(errors.locator("#list [aria-current]")).to_be_focused()


def test_a_report_is_chosen_by_a_click_and_shows_who_is_wrong(errors: Page) -> None:
    errors.get_by_role("button", name="case-4").click()
    row = errors.get_by_role("row", name=world.EDEMA)
    expect(row.get_by_role("cell")).to_have_text(["present", "absent (0.300)\u00a0✗", "present"])
    errors.get_by_role("button", name="case-9").click()
    mark = errors.locator(".text mark")
    expect(mark).to_have_text(["pleural effusion"])  # after a letter outside of the BMP, too
    assert mark.get_attribute("title") == f"{world.EFFUSION}: present (cue: <i>cue</i>)"
    expect(errors.get_by_text("indication (read by nobody)")).to_be_visible()


def test_markup_in_a_report_is_shown_and_not_run(errors: Page) -> None:
    errors.get_by_role("button", name="case-9").click()
    assert errors.locator(".text").first.text_content() == f"FINDINGS: {world.HOSTILE}"
    assert errors.evaluate("window.hurt") is None
    assert errors.locator("img, i, b, script:not([type])").count() == 1  # the page's own script
    # Were an element to come through, the policy would not run it.
    assert "sha256-" in (errors.locator("meta[http-equiv]").get_attribute("content") or "")


@pytest.mark.parametrize("view", [((360, 640), False)], indirect=True)
def test_the_browser_fits_a_narrow_screen(errors: Page) -> None:
    assert errors.evaluate("document.documentElement.scrollWidth <= innerWidth")
    errors.get_by_role("button", name="case-4").click()
    expect(errors.get_by_role("heading", level=2)).to_have_text("case-4")
    expect(errors.get_by_role("heading", level=2)).to_be_in_viewport()


def test_plots_of_dvc_open_without_a_network(view: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".dvc").mkdir()
    said = list[tuple[str, ...]]()
    monkeypatch.setattr(offline_plots.pipeline, "dvc_output", lambda *words: said.append(words))
    offline_plots.offline_plots()
    assert said == [("config", "--local", "plots.html_template", "offline_plots.html")]
    template = offline_plots.TEMPLATE.read_text(encoding="utf-8")
    points = [{"step": n, "loss": 1 / n, "rev": "workspace"} for n in range(1, 20)]
    plot = VegaRenderer(points, "loss", x="step", y="loss", template="simple", revs_with_datapoints=["workspace"])
    made = HTML(template).with_scripts(plot.SCRIPTS).with_element(plot.generate_html()).embed()
    Path("plots.html").write_text(made, encoding="utf-8")
    view.goto((tmp_path / "plots.html").as_uri())
    expect(view.locator(".vega-embed svg.marks")).to_have_count(1)
    expect(view.locator(".vega-embed")).to_contain_text("step")
