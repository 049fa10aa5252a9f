"""The budgets of named models: lines of ``KEY = VALUE`` that the marker's code reads and checks.

Lines below a ``[PATTERN]`` are for the models that the pattern matches, in place of lines above.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate

from pytest_hiddencost.core.errors import HiddenCostError, SettingError
from pytest_hiddencost.core.model_names import Variant
from pytest_hiddencost.run import markers

ANY = "*"
_LINE = re.compile(r"(\w+)(?:\[(.+)\])?\s*=\s*(.*)")
_BRACKETS = re.compile(r"([\[\]])")


@dataclass
class Section:
    """The marker's arguments for the models that a pattern matches."""

    pattern: str = ANY
    arguments: dict[str, object] = field(default_factory=dict)

    def matches(self, variant: Variant) -> bool:
        """Return whether the pattern matches the model's name, or that of the variant."""
        # Brackets are a part of names here, and no set of characters.
        expression = translate(_BRACKETS.sub(r"[\1]", self.pattern))
        names = (variant.model.text, variant.name)
        return any(re.match(expression, name) for name in names)


def parsed_budgets(text: str, where: str) -> tuple[Section, ...]:
    """Return the sections of a text. Raises ``SettingError`` that names the line."""
    sections = [Section()]
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            sections.append(Section(line[1:-1].strip()))
            continue
        try:
            _add(sections[-1], line)
        except HiddenCostError as error:
            raise SettingError(f"{where}: {line!r}: {error}") from error
    return tuple(section for section in sections if section.arguments)


def _add(section: Section, line: str) -> None:
    """Add a line to a section, and let the marker's code check it."""
    found = _LINE.fullmatch(line)
    known = markers.accepted_keywords()[:-1]  # all but the label
    if found is None or found[1] not in known:
        raise SettingError(
            'expected lines such as "p50 = 15 ms" or "operators[aten::cat] = 5%", below a '
            f"[PATTERN] for some models alone; accepted: {', '.join(known)}"
        )
    name, key, value = found.groups()
    given: object = value if key is None else {key: value}
    markers.budget_from_marker((), {name: given})
    earlier = section.arguments.get(name)
    if earlier is not None and (key is None or not isinstance(earlier, dict) or key in earlier):
        raise SettingError(f"{name} is given twice")
    section.arguments[name] = _joined(earlier, given)


def _joined(earlier: object, given: object) -> object:
    both = isinstance(earlier, dict) and isinstance(given, dict)
    return {**earlier, **given} if both else given  # type: ignore[dict-item]


def budget_of(sections: Sequence[Section], variant: Variant) -> Mapping[str, object]:
    """Return the marker's arguments for a variant; empty if no section matches it."""
    found: dict[str, object] = {}
    for section in sections:
        if section.matches(variant):
            for name, given in section.arguments.items():
                found[name] = _joined(found.get(name), given)
    return found


def unmatched(sections: Sequence[Section], variants: Sequence[Variant]) -> list[str]:
    """Return the patterns that match no variant; their limits check nothing."""
    return [
        section.pattern
        for section in sections
        if section.pattern != ANY and not any(map(section.matches, variants))
    ]
