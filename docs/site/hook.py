"""Makes the site of MkDocs from the repository: its pages, its navigation, its picture."""

import itertools
import posixpath
import re
import subprocess
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = re.compile(r"(docs/|lexicon/)?[^/]+\.md")
ASSETS = re.compile(r"docs/site/.*\.(js|css|svg)")
LINK = re.compile(r"\]\(([^)\s#:]+)")
MERMAID = re.compile(r"```mermaid\nflowchart LR\n(.*?)```", re.DOTALL)
CELL = re.compile(r"<td.*?</td>", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Takes files from git alone, under the paths that they have there. So every link works as on GitHub, and no report gets in.

    Pages are the .md files of the root, of docs/ and of lexicon/. Another file is in the site if one of these links to it.
    """
    for file in [file for file in files if file.src_dir == config.docs_dir]:
        files.remove(file)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    tracked = {path for path in listed if (ROOT / path).is_file()}
    pages = {path for path in tracked if PAGES.fullmatch(path)}
    linked = {
        posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
        for page in pages for target in LINK.findall((ROOT / page).read_text(encoding="utf-8"))
    }  # fmt: skip
    assets = {path for path in tracked if ASSETS.fullmatch(path)}
    for path in sorted(pages | (linked & tracked) | assets):
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    listed_pages = config.nav or []
    others = sorted(pages - set(_targets(listed_pages)))
    config.nav = [*listed_pages, *([{"More": others}] if others else [])]
    return files


def _targets(node: Any) -> list[str]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [node] if isinstance(node, str) else [target for child in children for target in _targets(child)]


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Draws Mermaid's flowcharts, since its own script would come from the web."""
    return MERMAID.sub(lambda found: _drawn(found[1]), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Mends `\\|` in code in a cell, which GitHub shows as `|`."""
    return CELL.sub(lambda found: found[0].replace("\\|", "|"), html)


def _drawn(chart: str) -> str:
    """Returns chains of arrows, as in `a --> b --> c`, as SVG: a column for each step from the start, a box for each name."""
    chains = [line.strip().split(" --> ") for line in chart.strip().splitlines()]
    arrows = [pair for chain in chains for pair in itertools.pairwise(chain)]
    column = dict.fromkeys(itertools.chain(*chains), 0)
    for _ in column:  # as often as the longest way can have steps
        for start, end in arrows:
            column[end] = max(column[end], column[start] + 1)
    place = {
        name: (95 * step + 2, 45 * [n for n in column if column[n] == step].index(name) + 2) for name, step in column.items()
    }  # fmt: skip
    width, height = max(x for x, _ in place.values()) + 77, max(y for _, y in place.values()) + 32
    lines = [f'<path d="M{place[a][0] + 75} {place[a][1] + 15}L{place[b][0] - 3} {place[b][1] + 15}"/>' for a, b in arrows]
    boxes = [
        f'<rect x="{x}" y="{y}" width="75" height="30" rx="5"/><text x="{x + 37.5}" y="{y + 19.5}">{name}</text>'
        for name, (x, y) in place.items()
    ]
    told = ", ".join(f"{start} to {end}" for start, end in arrows)
    head = '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    tip = f'<defs>{head}<path d="M0 0L8 4L0 8z"/></marker></defs>'
    opened = f'<svg role="img" aria-label="{told}" viewBox="0 0 {width} {height}" style="min-width:{width}px">'
    return f'<div class="flowchart">{opened}{tip}{"".join(lines + boxes)}</svg></div>\n'
