"""The site of the documents: built without a network, loads nothing from elsewhere, all its links work, its search too."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from pipeline_truth import ROOT

# No socket can be opened in this process, whatever a plugin tries.
BUILD = """
import socket

def refuse(*_, **__):
    raise OSError("the test has cut the network")

socket.socket.__init__ = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli()
"""
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "embed": "src", "object": "data", "image": "href"}
LOADED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload", "manifest"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass
class Page(HTMLParser):
    """What a page loads, where it links to, and the ids in it."""

    loads: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        self.classes |= set(given.get("class", "").split())
        if tag == "link" and set(given.get("rel", "").split()) & LOADED_LINKS:
            self.loads.append(given["href"])
        if LOADED.get(tag) in given:
            self.loads.append(given[LOADED[tag]])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-c", BUILD, "build", "--strict", "--site-dir", str(folder)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr  # a warning is an error, too: it names page and link
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """The pages by path. Not 404.html: a web server shows it, and its links begin at the server's root."""
    read = {}
    for file in site.rglob("*.html"):
        if file.name != "404.html":
            read[file] = Page()
            read[file].feed(file.read_text(encoding="utf-8"))
    return read


def test_every_document_is_a_page_that_the_navigation_leads_to(site: Path, pages: dict[Path, Page]) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    documents = [path for path in listed if re.fullmatch(r"([^/]+|docs/[^/]+|lexicon/README)\.md", path)]
    wanted = {site / re.sub(r"README\.html$", "index.html", path.removesuffix(".md") + ".html") for path in documents}
    assert len(wanted) >= 15
    home = pages[site / "index.html"]
    reached = {(site / urlsplit(link).path).resolve() for link in home.links if not urlsplit(link).scheme}
    assert wanted <= pages.keys()
    assert wanted <= reached


def test_the_site_holds_files_that_git_knows_and_no_others(site: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    of_theme = ("assets/", "search/", "404.html", "index.html", "sitemap.xml", "sitemap.xml.gz", "objects.inv")
    files = [str(file.relative_to(site)) for file in site.rglob("*") if file.is_file()]
    ours = [name for name in files if not name.startswith(of_theme)]
    sources = [re.sub(r"(^|/)index\.html$", r"\1README.md", name) for name in ours]
    assert [name for name in sources if name not in listed and name.removesuffix(".html") + ".md" not in listed] == []
    assert not any(name.startswith(("data/", "models/")) for name in ours)


def test_pages_load_nothing_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    loads = {(str(file.relative_to(site)), address) for file, page in pages.items() for address in page.loads}
    assert len(loads) >= 5 * len(pages)
    assert [place for place in loads if urlsplit(place[1]).scheme or place[1].startswith("//")] == []
    assert [(name, address) for name, address in loads if not target(site / name, address).is_file()] == []
    styles = "".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))
    assert re.findall(r"url\(\s*[\"']?(?:https?:)?//|@import", styles) == []
    # The theme's script would load Mermaid from the web for a diagram of that class; docs/site/hook.py draws ours.
    assert [file for file, page in pages.items() if "mermaid" in page.classes] == []


def target(file: Path, address: str) -> Path:
    return (file.parent / unquote(urlsplit(address).path)).resolve() if urlsplit(address).path else file


def test_all_links_within_the_site_work(site: Path, pages: dict[Path, Page]) -> None:
    broken, inner = [], 0
    for file, page in pages.items():
        for link in page.links:
            if urlsplit(link).scheme:
                assert urlsplit(link).scheme in ("https", "mailto"), link
                continue
            inner += 1
            to, part = target(file, link), unquote(urlsplit(link).fragment)
            if not to.is_file() or (part and to in pages and part not in pages[to].ids):
                broken.append(f"{file.relative_to(site)}: {link}")
    assert inner >= 20 * len(pages)
    assert broken == []


def test_the_picture_of_the_pipeline_is_drawn(site: Path) -> None:
    written = (ROOT / "README.md").read_text(encoding="utf-8")
    chart = re.search(r"```mermaid\nflowchart LR\n(.*?)```", written, re.DOTALL)
    assert chart
    page = (site / "index.html").read_text(encoding="utf-8")
    drawn = re.search(r'<svg role="img" aria-label="(.*?)".*?</svg>', page, re.DOTALL)
    assert drawn
    steps = [line.strip().split(" --> ") for line in chart[1].strip().splitlines()]
    arrows = [f"{start} to {end}" for step in steps for start, end in itertools.pairwise(step)]
    assert drawn[1].split(", ") == arrows
    assert set(re.findall(r">(\w+)</text>", drawn[0])) == {name for step in steps for name in step}
    places = re.findall(r'<rect x="(\d+)" y="(\d+)"', drawn[0])
    assert len(places) == len(set(places))


def test_search_finds_a_word_in_pages_opened_from_a_file(site: Path, tmp_path: Path) -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"none of {', '.join(BROWSERS)} is installed")
    words = ["--headless", "--disable-gpu", "--virtual-time-budget=8000", f"--user-data-dir={tmp_path}", "--dump-dom"]
    words += ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root
    command = [browser, *words, f"file://{site}/docs/start.html?q=adjudication"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    results = re.findall(r'<a href="([^"]*)"[^>]*class="md-search-result__link"', found.stdout)
    assert any("GLOSSARY.html" in link for link in results), results
