"""Exported programs count and are classified as in eager mode."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.measure.deployed.models import deployable, each_model, measured, unclassified


@each_model
def test_an_exported_program_has_the_macs_of_its_model(name: str) -> None:
    given = deployable(name)
    found = measured(torch.export.export(given.model, (given.x,)).module(), given.x)
    assert (found.macs, found.uncosted) == (given.macs, ())
    assert unclassified(found) == []


@each_model
def test_a_program_that_was_saved_and_loaded_has_them_too(name: str, tmp_path: Path) -> None:
    given = deployable(name)
    torch.export.save(torch.export.export(given.model, (given.x,)), tmp_path / "net.pt2")
    found = measured(torch.export.load(tmp_path / "net.pt2").module(), given.x)
    assert (found.macs, found.uncosted) == (given.macs, ())
