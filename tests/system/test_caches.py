"""The last-level caches: those of all cores together, each once."""

from __future__ import annotations

from pathlib import Path

from pytest_hiddencost.system.caches import last_level_cache_bytes

MIB = 2**20


def cache(cpus: Path, cpu: int, level: int, size: str, shared: str) -> None:
    folder = cpus / f"cpu{cpu}/cache/index{level}"
    folder.mkdir(parents=True)
    for name, content in {"level": level, "size": size, "shared_cpu_list": shared}.items():
        (folder / name).write_text(f"{content}\n")


def test_each_last_level_cache_counts_once(tmp_path: Path) -> None:
    """Two dies of two cores, each with an L3 of its own."""
    for cpu in range(4):
        cache(tmp_path, cpu, 2, "1024K", str(cpu))
        cache(tmp_path, cpu, 3, "98304K", "0-1" if cpu < 2 else "2-3")
    assert last_level_cache_bytes(tmp_path) == 2 * 96 * MIB


def test_the_last_level_of_a_board_is_its_second(tmp_path: Path) -> None:
    for cpu in range(4):
        cache(tmp_path, cpu, 1, "32K", str(cpu))
        cache(tmp_path, cpu, 2, "512K", "0-3")
    assert last_level_cache_bytes(tmp_path) == MIB // 2


def test_caches_that_are_not_reported_are_0(tmp_path: Path) -> None:
    assert last_level_cache_bytes(tmp_path) == 0
    cache(tmp_path, 0, 3, "unknown", "0")
    assert last_level_cache_bytes(tmp_path) == 0
