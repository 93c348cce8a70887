"""Prints pages of tables on standard output."""

from rich.console import Console, RenderableType


def print_page(page: RenderableType, width: int = 200) -> None:
    """Prints `page` as wide as the terminal, or `width` characters wide into a file or a pipe."""
    console = Console()
    (console if console.is_terminal else Console(width=width)).print(page)
