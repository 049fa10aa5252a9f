"""A report that is open in a browser, and what the browser says about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.lib.chromium import wait_until

DESKTOP, PHONE = (1280, 900), (390, 844)


@dataclass
class Opened:
    """A page of Playwright; ``errors`` has console errors, ``requests`` every address asked for."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note errors and requests from now on."""
        self.page.on("console", self._note_error)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog: {dialog.message}"))

    def _note_error(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def open(self, path: Path, part: str = "") -> Opened:
        """Open a file and wait until the page says that it is ready."""
        self.page.goto(path.as_uri() + part)
        self.page.wait_for_selector("html[data-ready]", state="attached")
        return self

    def draw_all(self) -> None:
        """Bring every chart into view, and wait until it is drawn."""
        for plot in self.page.locator(".plot:visible").all():
            plot.scroll_into_view_if_needed()
        wait_until(
            self.page,
            "[...document.querySelectorAll('.plot')]"
            ".every(p => p.dataset.drawn || p.offsetParent === null)",
        )
        self.page.evaluate("window.scrollTo(0, 0)")

    def names(self) -> list[str]:
        """The names of the rows that the table shows, from top to bottom."""
        found: list[str] = self.page.locator("#calls tbody tr:visible th a").all_text_contents()
        return found

    def title(self) -> str:
        """The heading of the part that is shown."""
        return str(self.page.locator("h1:visible").text_content())

    def focused(self) -> str:
        """The text of the element that has the focus."""
        return str(self.page.evaluate("document.activeElement.textContent"))

    def chart(self, title: str) -> Any:
        """The plot under a heading."""
        figure = self.page.locator("figure", has=self.page.get_by_role("heading", name=title))
        return figure.locator(".plot").first

    def traces(self, title: str) -> list[dict[str, Any]]:
        """The traces that plotly draws in a chart."""
        self.chart(title).scroll_into_view_if_needed()
        plot = self.chart(title)
        wait_until(plot, "plot => plot.dataset.drawn")
        found: list[dict[str, Any]] = plot.evaluate(
            """plot => plot.data.map(trace => JSON.parse(JSON.stringify({
                type: trace.type, name: trace.name, x: trace.x, y: trace.y, labels: trace.labels,
                values: trace.values, text: trace.text, measure: trace.measure})))"""
        )
        return found


@contextmanager
def tab(
    browser: Any, size: tuple[int, int] = DESKTOP, *, dark: bool = False, **more: Any
) -> Iterator[Opened]:
    """Open a tab without a network."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        offline=True,
        **more,
    )
    try:
        opened = Opened(context.new_page())
        opened.watch()
        yield opened
    finally:
        context.close()
