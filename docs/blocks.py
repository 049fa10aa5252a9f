"""The code blocks of README and of the site's pages, by the marks above them.

Every block has a mark, an HTML comment on the line before it:

- ``file: NAME``: the block is a file of the page's project.
- ``run``: a console block; its commands run in the page's project, and their output follows them.
  ``run: from REGEX`` shows the output from the first matching line on, ``to REGEX`` up to one.
- ``example`` or ``example: NAME``: the block stands alone; the tests run it.
- ``not run``: the block is neither, such as the configuration of a CI service.

The blocks of a page share one project, in their order.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COLUMNS = 80
MARKED = re.compile(
    r"^(?P<mark><!-- (?P<kind>file|run|example|not run)(?:: (?P<rest>.*?))? -->)\n"
    r"```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FENCE = re.compile(r"^```(?!\{).*?^```$", re.MULTILINE | re.DOTALL)
DIRECTIVE = re.compile(r"^```\{.*?^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A marked block: its kind, what follows the kind, its language and its text."""

    kind: str
    rest: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The commands of a console block."""
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]

    def shown(self, output: str) -> str:
        """Return the part of a command's output that the block shows."""
        lines = [line.rstrip() for line in output.strip("\n").splitlines()]
        bounds = dict(re.findall(r"(from|to) (\S+)", self.rest))
        for word, bound in bounds.items():
            found = [i for i, line in enumerate(lines) if re.search(bound, line)]
            if not found:
                raise LookupError(f"no line of the output matches {bound!r}:\n{output}")
            lines = lines[found[0] :] if word == "from" else lines[: found[-1] + 1]
        return "\n".join(lines)


def pages() -> list[Path]:
    """Return README and every page of the site."""
    return [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]


def blocks_of(page: str) -> list[Block]:
    """Return the marked blocks of a page."""
    return [_block(found) for found in MARKED.finditer(page)]


def unmarked(page: str) -> list[str]:
    """Return the code blocks of a page that have no mark."""
    rest = MARKED.sub("", DIRECTIVE.sub("", page))
    return FENCE.findall(rest)


def _block(found: re.Match[str]) -> Block:
    return Block(found["kind"], found["rest"] or "", found["language"], found["text"])


@dataclass(frozen=True)
class Ran:
    """The exit status of a command, and its output."""

    status: int
    output: str


class Project:
    """A folder with the files of a page, in which its commands run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        interpreter = Path(sys.executable).parent
        kept = {
            k: v for k, v in os.environ.items() if k in ("HOME", "LANG", "TMPDIR", "PYTHONPATH")
        }
        self._environment = {
            **kept,
            "PATH": f"{interpreter}{os.pathsep}{os.environ.get('PATH', '')}",
            "COLUMNS": str(COLUMNS),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{f"GIT_{who}_NAME": "you" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "you@example.org" for who in ("AUTHOR", "COMMITTER")},
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def write(self, block: Block) -> None:
        """Write the file of a block."""
        path = self._folder / block.rest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")

    def run(self, command: str) -> Ran:
        """Run a command."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        return Ran(done.returncode, done.stdout)


def refreshed(page: str, project: Project, say: Callable[[str], None]) -> str:
    """Return the page with the output of every command that it runs."""

    def replaced(found: re.Match[str]) -> str:
        block = _block(found)
        if block.kind == "file":
            project.write(block)
        if block.kind != "run":
            return found[0]
        parts = []
        for number, command in enumerate(block.commands, 1):
            say(f"  $ {command}")
            output = project.run(command).output
            if number == len(block.commands):
                output = block.shown(output)
            parts.append(f"$ {command}\n{output}".rstrip("\n") + "\n")
        return f"{found['mark']}\n```{block.language}\n{''.join(parts)}```"

    return MARKED.sub(replaced, page)
