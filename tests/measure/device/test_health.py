"""The device watch: objections, their remedies, remarks and unknown states."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from pytest_hiddencost.measure.device import health_rules, load
from pytest_hiddencost.measure.device.health import DeviceWatch
from tests.measure.device.board import CPU, Board


class TestNormalDevices:
    @pytest.mark.parametrize("kind", ["raspberry_pi", "jetson", "desktop", "laptop", "everything"])
    def test_a_normal_device_has_no_objection_and_no_remark(self, board: Board, kind: str) -> None:
        getattr(board, kind)()
        watch = board.watch()
        board.pass_time(60)
        assert watch.objections() == ()
        assert watch.remarks() == ()

    def test_unreadable_states_are_listed_as_unknown(self, board: Board) -> None:
        watch = board.watch()
        board.pass_time(60)
        assert watch.objections() == ()
        assert watch.remarks() == ()
        assert watch.unknown() == ("load", "steal", "cpufreq", "thermal", "pressure", "power")

    def test_only_the_load_is_unknown_if_every_file_is_readable(self, board: Board) -> None:
        board.everything()
        watch = board.watch()
        board.pass_time(60)
        board.stat(busy=61)
        assert watch.objections() == ()
        assert watch.unknown() == ("load",)

    def test_a_state_that_is_gone_at_the_end_is_unknown(self, board: Board) -> None:
        board.everything()
        watch = board.watch()
        board.pass_time(60)
        for core in range(4):
            (board.root / CPU / f"cpufreq/policy{core}/scaling_governor").unlink()
        (board.root / "proc/stat").unlink()
        assert watch.objections() == ()
        assert watch.unknown() == ("load", "steal", "cpufreq")

    def test_the_clocks_of_an_accelerator_are_unknown(self, board: Board) -> None:
        assert board.watch("cuda").unknown()[-1] == "cuda clocks"


def test_load_comes_first_then_steal_then_the_other_objections(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load.OtherLoad, "objection", lambda self, threads: f"load beside {threads}")
    board.cpufreq("powersave")
    board.stat(busy=10)
    watch = board.watch()
    board.pass_time(10, suspended=5)
    board.stat(busy=15, stolen=5)
    assert watch.objections() == (
        "load beside 2",
        "the hypervisor stole 50 % of the busy time",
        "cores ran at their lowest frequency, 0.6 GHz (governor powersave)",
        "the machine was suspended for 5.0 s",
    )


class TestRemedies:
    def test_every_rule_that_objects_has_a_remedy(self) -> None:
        assert health_rules.LOAD_REMEDY
        assert all(health_rules.REMEDIES.values())
        rules = {
            rule
            for name, rule in vars(health_rules).items()
            if getattr(rule, "__annotations__", {}).get("return") == "Iterator[str]"
            and list(rule.__annotations__) == ["before", "now", "return"]
        }
        assert rules == {*health_rules.REMEDIES, *health_rules.REMARKS}

    def test_a_remedy_is_one_short_clause(self) -> None:
        of_load = (health_rules.LOAD_REMEDY, health_rules.LOAD_REMEDY_ONE_THREAD)
        for remedy in (*of_load, *health_rules.REMEDIES.values()):
            assert remedy[0].islower()
            assert not remedy.endswith(".")
            assert "\n" not in remedy
            assert len(remedy) <= 80

    def test_a_fit_device_needs_none(self, board: Board) -> None:
        board.everything()
        watch = board.watch()
        board.pass_time(60)
        assert watch.objections() == ()
        assert watch.remedies() == ()

    def test_they_follow_the_order_of_the_objections(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(load.OtherLoad, "objection", lambda self, threads: "load")
        board.laptop()
        board.cpufreq("powersave")
        board.stat(busy=10)
        watch = board.watch()
        board.pass_time(10, suspended=5)
        board.stat(busy=15, stolen=5)
        board.cpufreq("ondemand")
        board.throttle_count(2, "core", 18)
        board.supply("AC", online=0)
        board.supply("BAT0", status="Discharging")
        assert len(watch.objections()) == 7
        assert watch.remedies() == (
            "stop other processes or measure with fewer threads (--hiddencost-threads)",
            "measure on a machine whose hypervisor leaves it the cores",
            "cool the device or improve its power supply",
            "set the governor to performance",
            "keep governor and frequency limit as they are during the run",
            "connect the power supply",
            "keep the machine awake",
        )

    def test_with_one_thread_none_advises_fewer_threads(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(load.OtherLoad, "objection", lambda self, threads: "load")
        watch = board.watch(threads=1)
        assert watch.objections() == ("load",)
        assert watch.remedies() == (
            "stop other processes; limits in calls, MACs and bytes hold under load too",
        )

    def test_several_objections_with_one_remedy_name_it_once(self, board: Board) -> None:
        board.raspberry_pi("throttled=0x4\n")
        board.zone(0, "cpu-thermal", 111.0, critical=110.0)
        watch = board.watch()
        assert len(watch.objections()) == 2
        assert watch.remedies() == ("cool the device or improve its power supply",)

    def test_they_stay_as_long_as_their_objections(self, board: Board) -> None:
        board.stat(busy=10)
        board.cpufreq("performance")
        watch = board.watch()
        board.pass_time(1)
        board.stat(busy=10.8, stolen=0.2)
        board.cpufreq("ondemand")
        assert len(watch.objections()) == len(watch.remedies()) == 2
        board.pass_time(59)
        board.stat(busy=69.8, stolen=0.2)
        board.cpufreq("performance")
        assert len(watch.objections()) == 1, "steal is an average, a changed governor stays"
        assert watch.remedies() == ("keep governor and frequency limit as they are during the run",)


def test_reading_this_machine_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("vcgencmd"):
        pytest.skip("this is a Raspberry Pi")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    watch = DeviceWatch(1)
    for texts in (watch.objections(), watch.remarks(), watch.unknown()):
        assert all(isinstance(text, str) for text in texts)
    figures = watch.figures()
    assert figures.stolen_share is None or 0 <= figures.stolen_share <= 1
