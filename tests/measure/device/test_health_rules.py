"""Rules of device health: which readings raise an objection or a remark, and which do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_hiddencost.measure.device import sysfs
from pytest_hiddencost.measure.device.readings import Clocks, Switches
from tests.measure.device.board import CPU, THERMAL, Board

MEASURED = "the firmware reported during the measurement"
SINCE_BOOT = "the firmware reported since boot"
SLOWED = "the kernel throttled the processor"


class TestRaspberryPi:
    def test_throttling_at_the_end_is_an_objection(self, board: Board) -> None:
        board.raspberry_pi()
        watch = board.watch()
        board.throttled = "throttled=0x50005\n"
        assert watch.objections() == (
            f"{MEASURED}: under-voltage, throttled (vcgencmd get_throttled: 0x50005)",
        )
        assert watch.remarks() == ()

    @pytest.mark.parametrize(
        ("bits", "name"),
        [
            (1, "under-voltage"),
            (2, "frequency capped"),
            (4, "throttled"),
            (8, "soft temperature limit"),
        ],
    )
    def test_every_bit_has_its_name(self, board: Board, bits: int, name: str) -> None:
        board.raspberry_pi(f"throttled={bits:#x}\n")
        watch = board.watch()
        expected = f"{MEASURED}: {name} (vcgencmd get_throttled: {bits:#x})"
        assert watch.objections() == (expected,)

    def test_throttling_at_the_start_is_an_objection(self, board: Board) -> None:
        board.raspberry_pi("throttled=0x1\n")
        watch = board.watch()
        board.throttled = "throttled=0x0\n"
        assert watch.objections() == (f"{MEASURED}: under-voltage (vcgencmd get_throttled: 0x1)",)

    def test_a_since_boot_bit_that_appears_is_an_objection(self, board: Board) -> None:
        board.raspberry_pi("throttled=0x10000\n")
        watch = board.watch()
        board.throttled = "throttled=0x50000\n"
        assert watch.objections() == (f"{MEASURED}: throttled (vcgencmd get_throttled: 0x50000)",)
        assert watch.remarks() == (
            f"{SINCE_BOOT}: under-voltage (vcgencmd get_throttled: 0x50000)",
        )

    def test_throttling_at_a_reading_in_between_stays_an_objection(self, board: Board) -> None:
        board.raspberry_pi("throttled=0x10000\n")
        watch = board.watch()
        board.throttled = "throttled=0x10001\n"
        seen = watch.objections()
        board.throttled = "throttled=0x10000\n"
        assert len(seen) == 1
        assert watch.objections() == seen

    def test_throttling_before_the_measurement_is_a_remark(self, board: Board) -> None:
        board.raspberry_pi("throttled=0xa0000\n")
        watch = board.watch()
        assert watch.objections() == ()
        assert watch.remarks() == (
            f"{SINCE_BOOT}: frequency capped, soft temperature limit "
            "(vcgencmd get_throttled: 0xa0000)",
        )

    @pytest.mark.parametrize("said", [None, "", "VCHI initialization failed\n", "throttled=0x"])
    def test_a_tool_without_an_answer_is_unknown(self, board: Board, said: str | None) -> None:
        board.raspberry_pi(said)
        watch = board.watch()
        assert watch.objections() == ()
        assert "vcgencmd" in watch.unknown()
        board.throttled = "throttled=0x50000\n"  # they may be older than the measurement
        assert watch.objections() == ()
        assert "vcgencmd" in watch.unknown()
        assert watch.remarks() == (
            f"{SINCE_BOOT}: under-voltage, throttled (vcgencmd get_throttled: 0x50000)",
        )

    def test_the_tool_runs_once_for_each_reading(self, board: Board) -> None:
        board.raspberry_pi()
        watch = board.watch()
        watch.remarks()
        watch.unknown()
        watch.figures()
        assert board.tool_runs == 1
        watch.objections()
        assert board.tool_runs == 2

    def test_the_tool_does_not_run_on_other_boards(self, board: Board) -> None:
        board.jetson()
        board.throttled = "throttled=0xf\n"
        watch = board.watch()
        assert watch.objections() == ()
        assert board.tool_runs == 0
        assert "vcgencmd" not in watch.unknown()


class TestFrequency:
    def test_powersave_on_a_board_is_an_objection(self, board: Board) -> None:
        board.cpufreq("powersave")
        assert board.watch().objections() == (
            "cores ran at their lowest frequency, 0.6 GHz (governor powersave)",
        )

    @pytest.mark.parametrize("driver", ["intel_cpufreq", "amd-pstate", "acpi-cpufreq"])
    def test_powersave_on_a_desktop_is_an_objection(self, board: Board, driver: str) -> None:
        board.cpufreq("powersave", driver=driver)
        assert len(board.watch().objections()) == 1

    @pytest.mark.parametrize("driver", ["intel_pstate", "amd-pstate-epp"])
    def test_powersave_that_follows_the_load_is_no_objection(
        self, board: Board, driver: str
    ) -> None:
        board.cpufreq("powersave", driver=driver)
        assert board.watch().objections() == ()

    def test_a_single_fixed_frequency_is_no_objection(self, board: Board) -> None:
        board.cpufreq("powersave", lowest=1_500_000)
        assert board.watch().objections() == ()

    def test_powersave_of_an_unknown_driver_is_no_objection(self, board: Board) -> None:
        board.cpufreq("powersave")
        (board.root / CPU / "cpufreq/policy0/scaling_driver").unlink()
        assert board.watch().objections() == ()

    @pytest.mark.parametrize(
        "governor", ["performance", "ondemand", "schedutil", "conservative", "userspace"]
    )
    def test_other_governors_are_no_objection(self, board: Board, governor: str) -> None:
        board.cpufreq(governor)
        assert board.watch().objections() == ()

    def test_cores_that_this_process_may_not_use_are_ignored(self, board: Board) -> None:
        board.cpufreq()
        board.cpufreq("powersave", folder="cpufreq/policy4", cores="4 5")
        assert board.watch().objections() == ()

    def test_a_policy_without_cores_belongs_to_the_core_with_its_number(self, board: Board) -> None:
        board.cpufreq("powersave", folder="cpufreq/policy4", cores="")
        board.cpufreq(folder="cpufreq/policy3", cores="")
        watch = board.watch()
        assert watch.objections() == ()
        assert "cpufreq" not in watch.unknown()

    def test_policies_by_core_are_read_too(self, board: Board) -> None:
        board.cpufreq("powersave", folder="cpu1/cpufreq")
        board.cpufreq("powersave", folder="cpu2/cpufreq")
        assert board.watch().objections() == (
            "cores ran at their lowest frequency, 0.6 GHz (governor powersave)",
        )

    def test_a_governor_that_changes_stays_an_objection(self, board: Board) -> None:
        board.cpufreq("performance")
        watch = board.watch()
        board.cpufreq("ondemand")
        expected = ("the governor changed from performance to ondemand",)
        assert watch.objections() == expected
        board.cpufreq("performance")
        assert watch.objections() == expected

    def test_a_limit_that_changes_is_an_objection(self, board: Board) -> None:
        board.cpufreq(limit=2_400_000, hardware=2_400_000)
        watch = board.watch()
        board.cpufreq(limit=1_500_000, hardware=2_400_000)
        assert watch.objections() == (
            "the frequency limit changed from 2.4 GHz to 1.5 GHz (scaling_max_freq)",
        )

    def test_a_limit_that_stays_is_a_remark(self, board: Board) -> None:
        board.cpufreq(limit=1_500_000, hardware=2_400_000)
        watch = board.watch()
        assert watch.objections() == ()
        assert watch.remarks() == ("cores are limited to 1.5 GHz of 2.4 GHz (scaling_max_freq)",)

    def test_a_limit_close_to_the_hardwares_is_no_limit(self, board: Board) -> None:
        board.cpufreq(limit=2_300_000, hardware=2_400_000)
        watch = board.watch()
        board.cpufreq(limit=2_400_000, hardware=2_400_000)
        assert watch.objections() == ()
        assert watch.remarks() == ()


class TestHeat:
    def test_a_cooling_device_at_work_stays_an_objection(self, board: Board) -> None:
        board.jetson()
        watch = board.watch()
        board.cooling(1, "thermal-cpufreq-0", 6, 24)
        expected = (f"{SLOWED}: thermal-cpufreq-0 at step 6 of 24 (cooling_device1)",)
        assert watch.objections() == expected
        board.cooling(1, "thermal-cpufreq-0", 0, 24)
        assert watch.objections() == expected

    def test_a_cooling_device_at_work_at_the_start_is_an_objection(self, board: Board) -> None:
        board.desktop()
        board.cooling(2, "Processor", 3, 10)
        watch = board.watch()
        board.cooling(2, "Processor", 0, 10)
        assert watch.objections() == (f"{SLOWED}: Processor at step 3 of 10 (cooling_device2)",)

    def test_a_passive_trip_point_without_a_slowdown_is_a_remark(self, board: Board) -> None:
        board.zone(0, "soc-thermal", 72.5, passive=70.0, critical=95.0)
        board.cooling(0, "cpufreq-cpu0", 0, 5)
        watch = board.watch()
        assert watch.objections() == ()
        assert watch.remarks() == ("soc-thermal at 72.5 °C, passive from 70 °C (thermal_zone0)",)

    def test_a_passive_trip_point_is_an_objection_without_a_cooling_device(
        self, board: Board
    ) -> None:
        board.zone(0, "soc-thermal", 86.0, passive=85.0, critical=95.0)
        watch = board.watch()
        expected = (
            "the device was too hot: soc-thermal at 86 °C, passive from 85 °C (thermal_zone0)",
        )
        assert watch.objections() == expected
        board.zone(0, "soc-thermal", 60.0, passive=85.0, critical=95.0)
        assert watch.objections() == expected

    @pytest.mark.parametrize("trip", ["hot", "critical"])
    def test_a_zone_that_is_too_hot_is_an_objection(self, board: Board, trip: str) -> None:
        board.jetson()
        board.zone(1, "CPU-therm", 101.0, **{trip: 101.0})
        watch = board.watch()
        assert watch.objections() == (
            f"the device was too hot: CPU-therm at 101 °C, {trip} from 101 °C (thermal_zone1)",
        )

    @pytest.mark.parametrize(("file", "content"), [("policy", "user_space"), ("mode", "disabled")])
    def test_a_zone_that_the_kernel_does_not_act_on_is_ignored(
        self, board: Board, file: str, content: str
    ) -> None:
        board.zone(0, "TCPU", 86.0, passive=85.0)
        board.write(f"{THERMAL}/thermal_zone0/{file}", content)
        watch = board.watch()
        assert watch.objections() == ()
        assert watch.remarks() == ()

    @pytest.mark.parametrize(
        ("celsius", "trip"),
        [(60, 0), (60, -274), (60, 20.8), (0, 55), (-40, 55), (250, 85), (255, 200), (84.9, 85)],
    )
    def test_values_that_no_sensor_means_are_ignored(
        self, board: Board, celsius: float, trip: float
    ) -> None:
        board.zone(0, "cpu-thermal", celsius, critical=trip)
        assert board.watch().objections() == ()

    def test_the_largest_growth_of_a_throttle_count_is_an_objection(self, board: Board) -> None:
        board.desktop()
        watch = board.watch()
        for core in range(4):  # every core counts the events of the package
            board.throttle_count(core, "package", 43)
        assert watch.objections() == ("heat throttled the processor 3 times (thermal_throttle)",)

    def test_a_throttle_count_that_grows_by_one_is_singular(self, board: Board) -> None:
        board.desktop()
        watch = board.watch()
        board.throttle_count(2, "core", 18)
        assert watch.objections() == ("heat throttled the processor 1 time (thermal_throttle)",)

    def test_throttle_counts_of_cores_that_this_process_may_not_use_are_ignored(
        self, board: Board
    ) -> None:
        board.throttle_count(7, "core", 1)
        watch = board.watch()
        board.throttle_count(7, "core", 9)
        assert watch.objections() == ()
        assert "thermal" in watch.unknown()

    def test_a_throttle_count_that_restarts_is_ignored(self, board: Board) -> None:
        board.desktop()
        watch = board.watch()
        board.throttle_count(2, "core", 0)
        assert watch.objections() == ()


class TestPower:
    def test_a_laptop_on_battery_at_the_start_is_an_objection(self, board: Board) -> None:
        board.laptop()
        board.supply("AC", online=0)
        board.supply("BAT0", status="Discharging")
        watch = board.watch()
        board.supply("AC", online=1)  # the supply was plugged in during the measurement
        assert watch.objections() == ("the device ran on battery (BAT0 discharging)",)

    def test_a_supply_that_is_unplugged_for_a_while_stays_an_objection(self, board: Board) -> None:
        board.laptop()
        watch = board.watch()
        board.supply("AC", online=0)
        board.supply("BAT0", status="Discharging")
        seen = watch.objections()
        board.supply("AC", online=1)
        assert seen == ("the device ran on battery (BAT0 discharging)",)
        assert watch.objections() == seen

    @pytest.mark.parametrize("status", ["Charging", "Not charging", "Full", "Unknown"])
    def test_a_battery_that_does_not_discharge_is_no_objection(
        self, board: Board, status: str
    ) -> None:
        board.supply("AC", type="Mains", online=0)
        board.supply("BAT0", type="Battery", status=status)
        watch = board.watch()
        assert watch.objections() == ()
        assert "power" not in watch.unknown()

    def test_a_battery_beside_a_weak_supply_is_no_objection(self, board: Board) -> None:
        board.supply("ucsi-source-psy-1", type="USB", online=1)
        board.supply("BAT0", type="Battery", status="Discharging")
        assert board.watch().objections() == ()

    def test_a_device_with_a_battery_only_runs_on_battery(self, board: Board) -> None:
        board.supply("battery", type="Battery", status="Discharging", scope="System")
        assert board.watch().objections() == ("the device ran on battery (battery discharging)",)

    def test_the_battery_of_a_mouse_is_ignored(self, board: Board) -> None:
        board.supply("hidpp_battery_0", type="Battery", status="Discharging", scope="Device")
        watch = board.watch()
        assert watch.objections() == ()
        assert "power" in watch.unknown()

    def test_a_supply_that_cannot_be_read_is_unknown(self, board: Board) -> None:
        board.supply("AC", type="Mains", online="?")
        board.supply("BAT0", type="Battery", status="Discharging")
        watch = board.watch()
        assert watch.objections() == ()
        assert "power" in watch.unknown()


class TestSteal:
    def test_stolen_time_is_an_objection(self, board: Board) -> None:
        board.stat(busy=10, stolen=5)
        watch = board.watch()
        board.pass_time(10)
        board.stat(busy=18.8, stolen=6.2)
        assert watch.objections() == ("the hypervisor stole 12 % of the busy time",)
        assert watch.figures().stolen_share == pytest.approx(0.12)

    def test_steal_is_averaged_over_all_readings(self, board: Board) -> None:
        board.stat(busy=10)
        watch = board.watch()
        board.pass_time(1)
        board.stat(busy=10.8, stolen=0.2)
        assert len(watch.objections()) == 1
        board.pass_time(59)
        board.stat(busy=69.8, stolen=0.2)
        assert watch.objections() == ()

    def test_a_little_steal_is_tolerated(self, board: Board) -> None:
        board.stat(busy=10)
        watch = board.watch()
        board.pass_time(10)
        board.stat(busy=19.6, stolen=0.4)
        assert watch.objections() == ()

    def test_steal_in_a_short_span_is_unknown(self, board: Board) -> None:
        board.stat(busy=10)
        watch = board.watch()
        board.pass_time(0.2)
        board.stat(busy=10.1, stolen=0.1)
        assert watch.objections() == ()
        assert "steal" in watch.unknown()

    def test_a_tick_that_began_before_the_measurement_is_no_steal(self, board: Board) -> None:
        board.stat(busy=10)
        watch = board.watch()
        board.pass_time(0.4)
        board.stat(busy=10.15, stolen=0.01)
        assert watch.objections() == ()
        assert watch.figures().stolen_share == pytest.approx(4 / 64)

    def test_steal_is_a_share_of_the_busy_time(self, board: Board) -> None:
        """One thread on four cores that loses a third of its core is slow, whatever is idle."""
        board.stat(busy=10)
        watch = board.watch()
        board.pass_time(10)
        board.stat(busy=11, stolen=0.5)
        assert watch.objections() == ("the hypervisor stole 33 % of the busy time",)

    def test_counters_that_run_backwards_are_unknown(self, board: Board) -> None:
        board.stat(busy=10, stolen=5)
        watch = board.watch()
        board.pass_time(10)
        board.stat(busy=20, stolen=1)
        assert watch.objections() == ()
        assert "steal" in watch.unknown()

    def test_steal_is_unknown_if_a_core_is_switched_off(self, board: Board) -> None:
        board.stat(busy=10)
        watch = board.watch()
        board.pass_time(10)
        board.write("proc/stat", "cpu0 9000 0 0 1000 50 0 0 900 0 0")
        assert watch.objections() == ()
        assert "steal" in watch.unknown()

    def test_steal_is_unknown_on_kernels_that_do_not_count_it(self, board: Board) -> None:
        board.write("proc/stat", "cpu0 1 2 3 4 5 6 7")
        watch = board.watch()
        board.pass_time(10)
        board.write("proc/stat", "cpu0 1001 2 3 4 5 6 7")
        assert watch.objections() == ()
        assert "steal" in watch.unknown()


class TestClocks:
    def test_a_machine_that_was_suspended_is_an_objection(self, board: Board) -> None:
        watch = board.watch()
        board.pass_time(10, suspended=3.2)
        assert watch.objections() == ("the machine was suspended for 3.2 s",)
        assert watch.remarks() == ()

    def test_a_clock_that_was_set_is_a_remark(self, board: Board) -> None:
        watch = board.watch()
        board.pass_time(10, clock_set=-3.2)
        assert watch.objections() == ()
        assert watch.remarks() == ("the clock jumped by -3.2 s",)

    def test_suspension_and_a_clock_that_was_set_are_told_apart(self, board: Board) -> None:
        watch = board.watch()
        board.pass_time(10, suspended=30, clock_set=2)
        assert watch.objections() == ("the machine was suspended for 30.0 s",)
        assert watch.remarks() == ("the clock jumped by +2.0 s",)

    def test_a_clock_that_is_slewed_is_ignored(self, board: Board) -> None:
        watch = board.watch()
        board.pass_time(600, suspended=0.1, clock_set=0.3)
        assert watch.objections() == ()
        assert watch.remarks() == ()

    def test_suspension_is_unknown_without_a_boot_clock(self, board: Board) -> None:
        board.clocks = replace(board.clocks, boot_s=None)
        watch = board.watch()
        assert board.clocks.wall_s is not None
        board.clocks = Clocks(board.clocks.monotonic_s + 10, board.clocks.wall_s + 20)
        assert watch.objections() == ()
        assert watch.remarks() == ("the clock jumped by +10.0 s",)
        assert "suspend" in watch.unknown()


class TestFigures:
    def test_the_waiting_share_is_the_growth_of_the_pressure_total(self, board: Board) -> None:
        board.write("proc/pressure/cpu", "some avg10=1.0 avg60=0.3 avg300=1.8 total=1000000")
        watch = board.watch()
        board.pass_time(10)
        board.write("proc/pressure/cpu", "some avg10=1.0 avg60=0.3 avg300=1.8 total=3500000")
        assert watch.objections() == ()
        assert watch.figures().waiting_share == pytest.approx(0.25)

    def test_the_switch_rate_is_per_second_of_own_cpu_time(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = iter([Switches(100, 2.0), Switches(160, 5.0)])
        monkeypatch.setattr(sysfs, "_switches", lambda: next(usage))
        watch = board.watch()
        assert watch.figures().involuntary_switches_per_cpu_s is None
        assert watch.objections() == ()
        assert watch.figures().involuntary_switches_per_cpu_s == pytest.approx(20.0)

    def test_figures_that_cannot_be_read_are_none(self, board: Board) -> None:
        watch = board.watch()
        board.pass_time(10)
        watch.objections()
        assert watch.figures().stolen_share is None
        assert watch.figures().waiting_share is None
