"""Reports as their readers see them: rendered Markdown, and the commands that a runner finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from markdown_it import MarkdownIt

VOID = {"br", "hr", "img", "input"}


@dataclass
class Page(HTMLParser):
    """Rendered Markdown: its tags, its text, and the rows of its tables."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    pieces: list[tuple[str, str]] = field(default_factory=list)  # innermost tag and text
    tables: list[list[list[str]]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "br":
            self.handle_data("\n")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, "tags are not nested"

    def handle_data(self, data: str) -> None:
        self.pieces.append((self._open[-1] if self._open else "", data))
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    @property
    def names(self) -> set[str]:
        """The names of all tags."""
        return {name for name, _ in self.tags}

    @property
    def text(self) -> str:
        """The text without tags."""
        return "".join(text for _, text in self.pieces)

    def of(self, tag: str) -> list[str]:
        """The text right inside each tag of this name."""
        return [text for name, text in self.pieces if name == tag]

    @property
    def outside_code(self) -> str:
        """The text in which a service looks for mentions and links."""
        return "".join(text for tag, text in self.pieces if tag != "code")


def rendered(markdown: str) -> Page:
    """Render Markdown with tables, as GitHub and GitLab do; every tag must be closed."""
    page = Page()
    page.feed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown))
    page.close()
    assert page._open == []
    return page


# --- GitHub's runner ----------------------------------------------------------------------------

KNOWN = {
    "error", "warning", "notice", "debug", "group", "endgroup", "add-mask", "set-output",
    "set-env", "add-path", "save-state", "stop-commands", "echo", "add-matcher", "remove-matcher",
}  # fmt: skip


@dataclass(frozen=True)
class WorkflowCommand:
    """A command that the runner found in the output of a step."""

    name: str
    properties: dict[str, str]
    message: str


def commands_in(output: str) -> list[WorkflowCommand]:
    """Return the commands in an output, in both of the forms that the runner knows.

    The runner reads line by line. A command begins its line with ``::``, after spaces at most, or
    stands anywhere as ``##[name]``.
    """
    lines = output.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [found for line in lines for found in (_new_form(line) or _old_form(line),) if found]


def _new_form(line: str) -> WorkflowCommand | None:
    line = line.lstrip()
    head, separator, message = line[2:].partition("::")
    name, _, rest = head.partition(" ")
    if not line.startswith("::") or not separator or name.lower() not in KNOWN:
        return None
    pairs = [pair.split("=", 1) for pair in rest.strip().split(",") if "=" in pair]
    properties = {key: _decoded(value, ":,") for key, value in pairs if value}
    return WorkflowCommand(name, properties, _decoded(message))


def _old_form(line: str) -> WorkflowCommand | None:
    _, found, rest = line.partition("##[")
    head, closed, message = rest.partition("]")
    name = head.split(" ")[0]
    known = found and closed and name.lower() in KNOWN
    return WorkflowCommand(name, {}, message) if known else None


def _decoded(text: str, others: str = "") -> str:
    for sign in ("\r", "\n", *others, "%"):
        text = text.replace(f"%{ord(sign):02X}", sign)
    return text
