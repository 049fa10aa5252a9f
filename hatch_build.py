"""Gives the package its links, all below the one address of the repository in pyproject.toml."""

from __future__ import annotations

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Links(MetadataHookInterface):
    """Adds the project's URLs to its metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set ``urls`` from the address of the repository."""
        home = self.config["repository"]
        metadata["urls"] = {
            "Documentation": f"{home}/tree/main/docs",
            "Source": home,
            "Issues": f"{home}/issues",
            "Changelog": f"{home}/blob/main/CHANGELOG.md",
        }
