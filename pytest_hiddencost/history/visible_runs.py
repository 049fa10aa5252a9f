"""The files that a reader takes each run from.

A merge adds a file that holds the rows of several files. A later one removes those, when no
reader needs them any more. Meanwhile two files hold the same run: the one of the later name
counts. Later names belong to later generations. A file is removed only while a file of a later
name holds every run of it. So the last file that holds a run is never removed, however many
merges run at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_hiddencost.history.store_names import StoredFile, id_of, time_of_id


class VisibleRuns:
    """Some files, and which of them own a run.

    ``rows`` has the run's id and the file's name of each row of ``runs`` in these files.
    """

    def __init__(self, files: Sequence[StoredFile], rows: Iterable[tuple[str, str]]) -> None:
        self._files, self._rows = files, list(rows)
        self.owners: dict[str, str] = {}
        """The name of the file that owns each run."""
        for run_id, part in self._rows:
            self.owners[run_id] = max(part, self.owners.get(run_id, ""))
        self._owning = set(self.owners.values())

    @property
    def live(self) -> list[StoredFile]:
        """The files that own a run."""
        return [file for file in self._files if file.part in self._owning]

    @property
    def overlap(self) -> bool:
        """Whether a file holds both rows that count and rows that another file has."""
        return any(
            part in self._owning and part != self.owners[run_id] for run_id, part in self._rows
        )

    def replaced_before(self, seconds: float) -> list[StoredFile]:
        """Return the files whose every run was in a file of a later name at that time."""
        newest: dict[str, str] = {}
        for run_id, part in self._rows:
            newest[part] = max(id_of(self.owners[run_id]), newest.get(part, ""))
        old = {part for part, by in newest.items() if time_of_id(by) <= seconds}
        return [file for file in self._files if file.part in old - self._owning]
