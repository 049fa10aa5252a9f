"""Whether the device was fit, from a root folder that a test fills like a board's."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.measure.device import load
from pytest_hiddencost.measure.device import sysfs as readers
from pytest_hiddencost.measure.device.health import DeviceWatch
from pytest_hiddencost.measure.device.sysfs import Clocks

CPU = "sys/devices/system/cpu"
THERMAL = "sys/class/thermal"
POWER = "sys/class/power_supply"


class Device:
    """Four cores, with the files a test writes and clocks it sets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clocks = Clocks(monotonic_s=1000.0, wall_s=1.7e9, boot_s=1500.0)
        self.throttled: str | None = None
        self.asked = 0

    def write(self, path: str, content: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")

    def cpufreq(
        self,
        governor: str = "ondemand",
        *,
        folder: str = "cpufreq/policy0",
        driver: str = "cpufreq-dt",
        cores: str = "0 1 2 3",
        lowest: int = 600_000,
        limit: int = 1_500_000,
        hardware: int = 1_500_000,
    ) -> None:
        files = {
            "affected_cpus": cores,
            "related_cpus": cores,
            "cpuinfo_max_freq": hardware,
            "scaling_driver": driver,
            "scaling_governor": governor,
            "scaling_max_freq": limit,
            "scaling_min_freq": lowest,
        }
        for name, content in files.items():
            self.write(f"{CPU}/{folder}/{name}", content)

    def zone(self, number: int, kind: str, celsius: float, **trips_c: float) -> None:
        folder = f"{THERMAL}/thermal_zone{number}"
        self.write(f"{folder}/type", kind)
        self.write(f"{folder}/temp", round(celsius * 1000))
        self.write(f"{folder}/policy", "step_wise")
        for index, (trip, trip_c) in enumerate(trips_c.items()):
            self.write(f"{folder}/trip_point_{index}_type", trip)
            self.write(f"{folder}/trip_point_{index}_temp", round(trip_c * 1000))

    def cooling(self, number: int, kind: str, step: int, of: int) -> None:
        for name, content in {"type": kind, "cur_state": step, "max_state": of}.items():
            self.write(f"{THERMAL}/cooling_device{number}/{name}", content)

    def throttle_count(self, core: int, of: str, count: int) -> None:
        self.write(f"{CPU}/cpu{core}/thermal_throttle/{of}_throttle_count", count)

    def supply(self, name: str, **files: object) -> None:
        for file, content in files.items():
            self.write(f"{POWER}/{name}/{file}", content)

    def stat(self, *, busy: float = 0, stolen: float = 0) -> None:
        """So many seconds on each of the four cores."""
        ticks = (
            f"{round(busy * 100)} 0 0 {{idle}} 50 0 0 {round(stolen * 100)} {round(busy * 100)} 0"
        )
        cores = [f"cpu{core} {ticks.format(idle=1000)}" for core in range(4)]
        other = f"cpu4 {ticks.format(idle=7)}"  # not ours to use
        self.write("proc/stat", "\n".join(["cpu 1 2 3 4 5 6 7 8 0 0", *cores, other, "intr 1 2"]))

    def pass_time(self, seconds: float, *, suspended: float = 0, clock_set: float = 0) -> None:
        now = self.clocks
        assert now.wall_s is not None
        assert now.boot_s is not None
        self.clocks = Clocks(
            now.monotonic_s + seconds,
            now.wall_s + seconds + suspended + clock_set,
            now.boot_s + seconds + suspended,
        )

    def vcgencmd(self) -> str | None:
        self.asked += 1
        return self.throttled

    def watch(self, device_type: str = "cpu") -> DeviceWatch:
        return DeviceWatch(
            2,
            device_type=device_type,
            root=self.root,
            throttled=self.vcgencmd,
            clocks=lambda: self.clocks,
        )

    def raspberry_pi(self, throttled: str | None = "throttled=0x0\n") -> None:
        self.write("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
        self.cpufreq()
        self.zone(0, "cpu-thermal", 55.0, critical=110.0)
        self.throttled = throttled

    def jetson(self) -> None:
        self.write("proc/device-tree/model", "NVIDIA Jetson Nano Developer Kit\0")
        self.cpufreq("schedutil", driver="tegra-cpufreq", hardware=1_479_000, limit=1_479_000)
        self.zone(1, "CPU-therm", 45.0, critical=102.5, passive=97.0, active=50.0)
        self.zone(3, "thermal-fan-est", 53.0, active=51.0)
        self.zone(4, "PMIC-Die", 100.0, critical=140.0, hot=120.0)
        self.cooling(0, "pwm-fan", 2, 3)
        self.cooling(3, "cpu-fan", 2, 3)
        self.cooling(1, "thermal-cpufreq-0", 0, 24)
        self.cooling(2, "hot-surface-alert", 1, 1)

    def desktop(self) -> None:
        for core in range(4):
            self.cpufreq(
                "powersave",
                folder=f"cpufreq/policy{core}",
                driver="intel_pstate",
                cores=str(core),
                lowest=800_000,
                limit=4_700_000,
                hardware=4_700_000,
            )
            self.throttle_count(core, "core", 17)
            self.throttle_count(core, "package", 40)
            self.cooling(core, "Processor", 0, 10)
        self.cooling(4, "intel_powerclamp", -1, 50)
        self.cooling(5, "TCC Offset", 10, 63)
        self.zone(0, "acpitz", 27.8, hot=20.8, critical=119.0)  # as many boards have it
        self.zone(1, "x86_pkg_temp", 62.0, passive=60.0)
        self.zone(2, "iwlwifi_1", 61.0, passive=60.0)

    def laptop(self) -> None:
        self.desktop()
        self.supply("AC", type="Mains", online=1)
        self.supply("BAT0", type="Battery", status="Charging", present=1)
        self.supply("hidpp_battery_0", type="Battery", status="Discharging", scope="Device")
        self.supply("ucsi-source-psy-1", type="USB", online=0)

    def everything(self) -> None:
        self.laptop()
        self.raspberry_pi()
        self.stat(busy=1)
        self.write("proc/pressure/cpu", "some avg10=0.0 avg60=0.0 avg300=0.0 total=5\nfull total=0")


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setattr(load, "STAT", tmp_path / "absent")  # the load here is another test's
    monkeypatch.setattr(readers, "usable_cores", lambda: {0, 1, 2, 3})
    return Device(tmp_path)


class TestNormalDevices:
    @pytest.mark.parametrize("kind", ["raspberry_pi", "jetson", "desktop", "laptop", "everything"])
    def test_there_is_nothing_to_say(self, device: Device, kind: str) -> None:
        getattr(device, kind)()
        watch = device.watch()
        device.pass_time(60)
        assert watch.objections() == ()
        assert watch.remarks() == ()

    def test_where_nothing_can_be_read_nothing_is_known(self, device: Device) -> None:
        watch = device.watch()
        device.pass_time(60)
        assert watch.objections() == ()
        assert watch.remarks() == ()
        assert watch.unknown() == ("load", "steal", "cpufreq", "thermal", "pressure", "power")

    def test_where_everything_can_be_read_only_the_load_is_not(self, device: Device) -> None:
        device.everything()
        watch = device.watch()
        device.pass_time(60)
        device.stat(busy=61)
        assert watch.objections() == ()
        assert watch.unknown() == ("load",)

    def test_what_is_gone_at_the_end_is_unknown(self, device: Device) -> None:
        device.everything()
        watch = device.watch()
        device.pass_time(60)
        for core in range(4):
            (device.root / CPU / f"cpufreq/policy{core}/scaling_governor").unlink()
        (device.root / "proc/stat").unlink()
        assert watch.objections() == ()
        assert watch.unknown() == ("load", "steal", "cpufreq")

    def test_the_clocks_of_an_accelerator_are_unknown(self, device: Device) -> None:
        assert device.watch("cuda").unknown()[-1] == "cuda clocks"


class TestRaspberryPi:
    def test_throttled_now(self, device: Device) -> None:
        device.raspberry_pi()
        watch = device.watch()
        device.throttled = "throttled=0x50005\n"
        assert watch.objections() == (
            "throttled while measured: under-voltage, throttled (vcgencmd get_throttled: 0x50005)",
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
    def test_every_bit_has_its_name(self, device: Device, bits: int, name: str) -> None:
        device.raspberry_pi(f"throttled={bits:#x}\n")
        watch = device.watch()
        expected = f"throttled while measured: {name} (vcgencmd get_throttled: {bits:#x})"
        assert watch.objections() == (expected,)

    def test_throttled_at_the_start_only(self, device: Device) -> None:
        device.raspberry_pi("throttled=0x1\n")
        watch = device.watch()
        device.throttled = "throttled=0x0\n"
        assert watch.objections() == (
            "throttled while measured: under-voltage (vcgencmd get_throttled: 0x1)",
        )

    def test_throttled_in_between(self, device: Device) -> None:
        device.raspberry_pi("throttled=0x10000\n")
        watch = device.watch()
        device.throttled = "throttled=0x50000\n"
        assert watch.objections() == (
            "throttled while measured: throttled (vcgencmd get_throttled: 0x50000)",
        )
        assert watch.remarks() == (
            "happened since boot: under-voltage (vcgencmd get_throttled: 0x50000)",
        )

    def test_throttled_at_a_reading_in_between(self, device: Device) -> None:
        device.raspberry_pi("throttled=0x10000\n")
        watch = device.watch()
        device.throttled = "throttled=0x10001\n"
        seen = watch.objections()
        device.throttled = "throttled=0x10000\n"
        assert len(seen) == 1
        assert watch.objections() == seen

    def test_long_ago_is_a_remark(self, device: Device) -> None:
        device.raspberry_pi("throttled=0xa0000\n")
        watch = device.watch()
        assert watch.objections() == ()
        assert watch.remarks() == (
            "happened since boot: frequency capped, soft temperature limit "
            "(vcgencmd get_throttled: 0xa0000)",
        )

    @pytest.mark.parametrize("said", [None, "", "VCHI initialization failed\n", "throttled=0x"])
    def test_a_tool_that_does_not_say_is_unknown(self, device: Device, said: str | None) -> None:
        device.raspberry_pi(said)
        watch = device.watch()
        assert watch.objections() == ()
        assert "vcgencmd" in watch.unknown()
        device.throttled = "throttled=0x50000\n"  # of when, nobody knows
        assert watch.objections() == ()
        assert "vcgencmd" in watch.unknown()
        assert watch.remarks() == (
            "happened since boot: under-voltage, throttled (vcgencmd get_throttled: 0x50000)",
        )

    def test_the_tool_is_asked_once_a_reading(self, device: Device) -> None:
        device.raspberry_pi()
        watch = device.watch()
        watch.remarks()
        watch.unknown()
        watch.figures()
        assert device.asked == 1
        watch.objections()
        assert device.asked == 2

    def test_no_other_board_is_asked(self, device: Device) -> None:
        device.jetson()
        device.throttled = "throttled=0xf\n"
        watch = device.watch()
        assert watch.objections() == ()
        assert device.asked == 0
        assert "vcgencmd" not in watch.unknown()


class TestTheTool:
    def test_it_is_looked_up_and_asked(
        self, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        device.raspberry_pi()
        tool = device.root / "bin/vcgencmd"
        device.write("bin/vcgencmd", '#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x2')
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
        assert DeviceWatch(1, root=device.root).objections() == (
            "throttled while measured: frequency capped (vcgencmd get_throttled: 0x2)",
        )

    @pytest.mark.parametrize(
        "error", [PermissionError("no"), subprocess.TimeoutExpired("vcgencmd", 2)]
    )
    def test_failing_is_unknown(
        self, device: Device, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def fail(*_: object, timeout: float, **__: object) -> None:
            assert timeout <= 2
            raise error

        device.raspberry_pi()
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(subprocess, "run", fail)
        watch = DeviceWatch(1, root=device.root)
        assert watch.objections() == ()
        assert "vcgencmd" in watch.unknown()

    def test_a_pi_without_it_is_unknown(
        self, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        device.raspberry_pi()
        monkeypatch.setattr(shutil, "which", lambda _: None)
        assert "vcgencmd" in DeviceWatch(1, root=device.root).unknown()


class TestFrequency:
    def test_the_lowest_on_a_board(self, device: Device) -> None:
        device.cpufreq("powersave")
        assert device.watch().objections() == (
            "cores run at their lowest frequency, 0.6 GHz (governor powersave)",
        )

    @pytest.mark.parametrize("driver", ["intel_cpufreq", "amd-pstate", "acpi-cpufreq"])
    def test_the_lowest_on_a_desktop(self, device: Device, driver: str) -> None:
        device.cpufreq("powersave", driver=driver)
        assert len(device.watch().objections()) == 1

    @pytest.mark.parametrize("driver", ["intel_pstate", "amd-pstate-epp"])
    def test_a_driver_whose_powersave_follows_the_load(self, device: Device, driver: str) -> None:
        device.cpufreq("powersave", driver=driver)
        assert device.watch().objections() == ()

    def test_one_frequency_on_purpose(self, device: Device) -> None:
        device.cpufreq("powersave", lowest=1_500_000)
        assert device.watch().objections() == ()

    def test_a_driver_that_is_not_known(self, device: Device) -> None:
        device.cpufreq("powersave")
        (device.root / CPU / "cpufreq/policy0/scaling_driver").unlink()
        assert device.watch().objections() == ()

    @pytest.mark.parametrize(
        "governor", ["performance", "ondemand", "schedutil", "conservative", "userspace"]
    )
    def test_other_governors(self, device: Device, governor: str) -> None:
        device.cpufreq(governor)
        assert device.watch().objections() == ()

    def test_cores_that_this_process_may_not_use(self, device: Device) -> None:
        device.cpufreq()
        device.cpufreq("powersave", folder="cpufreq/policy4", cores="4 5")
        assert device.watch().objections() == ()

    def test_a_policy_that_names_no_cores_has_its_number(self, device: Device) -> None:
        device.cpufreq("powersave", folder="cpufreq/policy4", cores="")
        device.cpufreq(folder="cpufreq/policy3", cores="")
        watch = device.watch()
        assert watch.objections() == ()
        assert "cpufreq" not in watch.unknown()

    def test_the_layout_by_core(self, device: Device) -> None:
        device.cpufreq("powersave", folder="cpu1/cpufreq")
        device.cpufreq("powersave", folder="cpu2/cpufreq")
        assert device.watch().objections() == (
            "cores run at their lowest frequency, 0.6 GHz (governor powersave)",
        )

    def test_a_governor_that_changes(self, device: Device) -> None:
        device.cpufreq("performance")
        watch = device.watch()
        device.cpufreq("ondemand")
        expected = ("the governor changed from performance to ondemand",)
        assert watch.objections() == expected
        device.cpufreq("performance")
        assert watch.objections() == expected

    def test_a_limit_that_changes(self, device: Device) -> None:
        device.cpufreq(limit=2_400_000, hardware=2_400_000)
        watch = device.watch()
        device.cpufreq(limit=1_500_000, hardware=2_400_000)
        assert watch.objections() == (
            "the frequency limit changed from 2.4 GHz to 1.5 GHz (scaling_max_freq)",
        )

    def test_a_limit_that_stays_is_a_remark(self, device: Device) -> None:
        device.cpufreq(limit=1_500_000, hardware=2_400_000)
        watch = device.watch()
        assert watch.objections() == ()
        assert watch.remarks() == ("cores are limited to 1.5 GHz of 2.4 GHz (scaling_max_freq)",)

    def test_a_limit_next_to_the_hardwares_is_none(self, device: Device) -> None:
        device.cpufreq(limit=2_300_000, hardware=2_400_000)
        watch = device.watch()
        device.cpufreq(limit=2_400_000, hardware=2_400_000)
        assert watch.objections() == ()
        assert watch.remarks() == ()


class TestHeat:
    def test_a_processor_that_is_slowed_down(self, device: Device) -> None:
        device.jetson()
        watch = device.watch()
        device.cooling(1, "thermal-cpufreq-0", 6, 24)
        expected = (
            "throttled while measured: thermal-cpufreq-0 at step 6 of 24 (cooling_device1)",
        )
        assert watch.objections() == expected
        device.cooling(1, "thermal-cpufreq-0", 0, 24)
        assert watch.objections() == expected

    def test_a_processor_that_was_slowed_down_at_the_start(self, device: Device) -> None:
        device.desktop()
        device.cooling(2, "Processor", 3, 10)
        watch = device.watch()
        device.cooling(2, "Processor", 0, 10)
        assert watch.objections() == (
            "throttled while measured: Processor at step 3 of 10 (cooling_device2)",
        )

    def test_a_passive_trip_point_at_which_nothing_is_slowed_down(self, device: Device) -> None:
        device.zone(0, "soc-thermal", 72.5, passive=70.0, critical=95.0)
        device.cooling(0, "cpufreq-cpu0", 0, 5)
        watch = device.watch()
        assert watch.objections() == ()
        assert watch.remarks() == ("soc-thermal at 72.5 °C, passive from 70 °C (thermal_zone0)",)

    def test_a_passive_trip_point_where_no_cooling_is_known(self, device: Device) -> None:
        device.zone(0, "soc-thermal", 86.0, passive=85.0, critical=95.0)
        watch = device.watch()
        expected = (
            "too hot while measured: soc-thermal at 86 °C, passive from 85 °C (thermal_zone0)",
        )
        assert watch.objections() == expected
        device.zone(0, "soc-thermal", 60.0, passive=85.0, critical=95.0)
        assert watch.objections() == expected

    @pytest.mark.parametrize("trip", ["hot", "critical"])
    def test_a_zone_that_is_too_hot(self, device: Device, trip: str) -> None:
        device.jetson()
        device.zone(1, "CPU-therm", 101.0, **{trip: 101.0})
        watch = device.watch()
        assert watch.objections() == (
            f"too hot while measured: CPU-therm at 101 °C, {trip} from 101 °C (thermal_zone1)",
        )

    @pytest.mark.parametrize(("file", "content"), [("policy", "user_space"), ("mode", "disabled")])
    def test_a_zone_the_kernel_leaves_to_others(
        self, device: Device, file: str, content: str
    ) -> None:
        device.zone(0, "TCPU", 86.0, passive=85.0)
        device.write(f"{THERMAL}/thermal_zone0/{file}", content)
        watch = device.watch()
        assert watch.objections() == ()
        assert watch.remarks() == ()

    @pytest.mark.parametrize(
        ("celsius", "trip"),
        [(60, 0), (60, -274), (60, 20.8), (0, 55), (-40, 55), (250, 85), (255, 200), (84.9, 85)],
    )
    def test_what_no_sensor_means(self, device: Device, celsius: float, trip: float) -> None:
        device.zone(0, "cpu-thermal", celsius, critical=trip)
        assert device.watch().objections() == ()

    def test_a_counter_that_grows(self, device: Device) -> None:
        device.desktop()
        watch = device.watch()
        for core in range(4):  # every core counts the package's
            device.throttle_count(core, "package", 43)
        assert watch.objections() == (
            "throttled while measured: by heat, 3 times (thermal_throttle)",
        )

    def test_a_counter_that_grows_by_one(self, device: Device) -> None:
        device.desktop()
        watch = device.watch()
        device.throttle_count(2, "core", 18)
        assert watch.objections() == (
            "throttled while measured: by heat, 1 time (thermal_throttle)",
        )

    def test_counters_of_cores_that_this_process_may_not_use(self, device: Device) -> None:
        device.throttle_count(7, "core", 1)
        watch = device.watch()
        device.throttle_count(7, "core", 9)
        assert watch.objections() == ()
        assert "thermal" in watch.unknown()

    def test_a_counter_that_starts_anew(self, device: Device) -> None:
        device.desktop()
        watch = device.watch()
        device.throttle_count(2, "core", 0)
        assert watch.objections() == ()


class TestPower:
    def test_a_laptop_on_battery(self, device: Device) -> None:
        device.laptop()
        device.supply("AC", online=0)
        device.supply("BAT0", status="Discharging")
        watch = device.watch()
        device.supply("AC", online=1)  # plugged in meanwhile
        assert watch.objections() == ("running on battery (BAT0 discharging)",)

    def test_unplugged_for_a_while(self, device: Device) -> None:
        device.laptop()
        watch = device.watch()
        device.supply("AC", online=0)
        device.supply("BAT0", status="Discharging")
        seen = watch.objections()
        device.supply("AC", online=1)
        assert seen == ("running on battery (BAT0 discharging)",)
        assert watch.objections() == seen

    @pytest.mark.parametrize("status", ["Charging", "Not charging", "Full", "Unknown"])
    def test_a_supply_that_the_kernel_does_not_see(self, device: Device, status: str) -> None:
        device.supply("AC", type="Mains", online=0)
        device.supply("BAT0", type="Battery", status=status)
        watch = device.watch()
        assert watch.objections() == ()
        assert "power" not in watch.unknown()

    def test_a_battery_that_helps_a_weak_supply(self, device: Device) -> None:
        device.supply("ucsi-source-psy-1", type="USB", online=1)
        device.supply("BAT0", type="Battery", status="Discharging")
        assert device.watch().objections() == ()

    def test_a_device_that_has_a_battery_only(self, device: Device) -> None:
        device.supply("battery", type="Battery", status="Discharging", scope="System")
        assert device.watch().objections() == ("running on battery (battery discharging)",)

    def test_a_desktop_with_a_wireless_mouse(self, device: Device) -> None:
        device.supply("hidpp_battery_0", type="Battery", status="Discharging", scope="Device")
        watch = device.watch()
        assert watch.objections() == ()
        assert "power" in watch.unknown()

    def test_a_supply_that_cannot_be_read(self, device: Device) -> None:
        device.supply("AC", type="Mains", online="?")
        device.supply("BAT0", type="Battery", status="Discharging")
        watch = device.watch()
        assert watch.objections() == ()
        assert "power" in watch.unknown()


class TestSteal:
    def test_time_that_the_hypervisor_took(self, device: Device) -> None:
        device.stat(busy=10, stolen=5)
        watch = device.watch()
        device.pass_time(10)
        device.stat(busy=18.8, stolen=6.2)
        assert watch.objections() == ("12 % of the busy time was stolen by the hypervisor",)
        assert watch.figures().stolen_share == pytest.approx(0.12)

    def test_over_all_readings(self, device: Device) -> None:
        device.stat(busy=10)
        watch = device.watch()
        device.pass_time(1)
        device.stat(busy=10.8, stolen=0.2)
        assert len(watch.objections()) == 1
        device.pass_time(59)
        device.stat(busy=69.8, stolen=0.2)
        assert watch.objections() == ()

    def test_a_little_is_tolerated(self, device: Device) -> None:
        device.stat(busy=10)
        watch = device.watch()
        device.pass_time(10)
        device.stat(busy=19.6, stolen=0.4)
        assert watch.objections() == ()

    def test_too_short_a_span_tells_nothing(self, device: Device) -> None:
        device.stat(busy=10)
        watch = device.watch()
        device.pass_time(0.2)
        device.stat(busy=10.1, stolen=0.1)
        assert watch.objections() == ()
        assert "steal" in watch.unknown()

    def test_a_tick_begun_before_is_not_stolen_now(self, device: Device) -> None:
        device.stat(busy=10)
        watch = device.watch()
        device.pass_time(0.4)
        device.stat(busy=10.15, stolen=0.01)
        assert watch.objections() == ()
        assert watch.figures().stolen_share == pytest.approx(4 / 64)

    def test_of_the_time_in_which_cores_were_wanted(self, device: Device) -> None:
        """One thread on four cores that loses a third of its core is slow, whatever is idle."""
        device.stat(busy=10)
        watch = device.watch()
        device.pass_time(10)
        device.stat(busy=11, stolen=0.5)
        assert watch.objections() == ("33 % of the busy time was stolen by the hypervisor",)

    def test_counters_that_run_backwards(self, device: Device) -> None:
        device.stat(busy=10, stolen=5)
        watch = device.watch()
        device.pass_time(10)
        device.stat(busy=20, stolen=1)
        assert watch.objections() == ()
        assert "steal" in watch.unknown()

    def test_a_core_that_is_switched_off(self, device: Device) -> None:
        device.stat(busy=10)
        watch = device.watch()
        device.pass_time(10)
        device.write("proc/stat", "cpu0 9000 0 0 1000 50 0 0 900 0 0")
        assert watch.objections() == ()
        assert "steal" in watch.unknown()

    def test_old_kernels_count_none(self, device: Device) -> None:
        device.write("proc/stat", "cpu0 1 2 3 4 5 6 7")
        watch = device.watch()
        device.pass_time(10)
        device.write("proc/stat", "cpu0 1001 2 3 4 5 6 7")
        assert watch.objections() == ()
        assert "steal" in watch.unknown()


class TestClocks:
    def test_a_machine_that_slept(self, device: Device) -> None:
        watch = device.watch()
        device.pass_time(10, suspended=3.2)
        assert watch.objections() == ("the machine was suspended for 3.2 s",)
        assert watch.remarks() == ()

    def test_a_clock_that_was_set_is_a_remark(self, device: Device) -> None:
        watch = device.watch()
        device.pass_time(10, clock_set=-3.2)
        assert watch.objections() == ()
        assert watch.remarks() == ("the clock jumped by -3.2 s",)

    def test_both(self, device: Device) -> None:
        watch = device.watch()
        device.pass_time(10, suspended=30, clock_set=2)
        assert watch.objections() == ("the machine was suspended for 30.0 s",)
        assert watch.remarks() == ("the clock jumped by +2.0 s",)

    def test_a_clock_that_is_slewed(self, device: Device) -> None:
        watch = device.watch()
        device.pass_time(600, suspended=0.1, clock_set=0.3)
        assert watch.objections() == ()
        assert watch.remarks() == ()

    def test_without_a_clock_that_runs_on_sleep_is_unknown(self, device: Device) -> None:
        device.clocks = replace(device.clocks, boot_s=None)
        watch = device.watch()
        assert device.clocks.wall_s is not None
        device.clocks = Clocks(device.clocks.monotonic_s + 10, device.clocks.wall_s + 20)
        assert watch.objections() == ()
        assert watch.remarks() == ("the clock jumped by +10.0 s",)
        assert "suspend" in watch.unknown()

    def test_clocks_are_read_at_one_moment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process that is stopped between two clocks must not see a jump."""
        moments = iter([0.0, 7.0, 7.1, 7.1])
        monkeypatch.setattr(time, "monotonic", lambda: next(moments))
        assert readers.read_clocks().monotonic_s == 7.1

    def test_clocks_that_never_agree_say_little(self, monkeypatch: pytest.MonkeyPatch) -> None:
        moments = itertools.count()
        monkeypatch.setattr(time, "monotonic", lambda: float(next(moments)))
        assert readers.read_clocks() == Clocks(6.0)


class TestFigures:
    def test_waiting_for_a_core(self, device: Device) -> None:
        device.write("proc/pressure/cpu", "some avg10=1.0 avg60=0.3 avg300=1.8 total=1000000")
        watch = device.watch()
        device.pass_time(10)
        device.write("proc/pressure/cpu", "some avg10=1.0 avg60=0.3 avg300=1.8 total=3500000")
        assert watch.objections() == ()
        assert watch.figures().waiting_share == pytest.approx(0.25)

    def test_losing_the_core_unasked(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = iter([readers.Switches(100, 2.0), readers.Switches(160, 5.0)])
        monkeypatch.setattr(readers, "_switches", lambda: next(usage))
        watch = device.watch()
        assert watch.figures().involuntary_switches_per_cpu_s is None
        assert watch.objections() == ()
        assert watch.figures().involuntary_switches_per_cpu_s == pytest.approx(20.0)

    def test_what_is_absent_has_no_number(self, device: Device) -> None:
        watch = device.watch()
        device.pass_time(10)
        watch.objections()
        assert watch.figures().stolen_share is None
        assert watch.figures().waiting_share is None


def test_the_load_of_others_comes_first(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load.OtherLoad, "objection", lambda self, threads: f"load beside {threads}")
    device.cpufreq("powersave")
    device.stat(busy=10)
    watch = device.watch()
    device.pass_time(10, suspended=5)
    device.stat(busy=15, stolen=5)
    assert watch.objections() == (
        "load beside 2",
        "50 % of the busy time was stolen by the hypervisor",
        "cores run at their lowest frequency, 0.6 GHz (governor powersave)",
        "the machine was suspended for 5.0 s",
    )


class TestFilesOfAnyKind:
    def test_a_container_that_may_read_nothing(
        self, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> int:
            raise PermissionError("not in this container")

        device.everything()
        with monkeypatch.context() as closed:  # root can read what its mode forbids
            closed.setattr(os, "open", refuse)
            watch = device.watch()
            device.pass_time(60)
            assert watch.objections() == ()
        assert watch.unknown() == ("load", "steal", "cpufreq", "thermal", "pressure", "power")

    def test_a_sensor_that_is_not_ready(
        self, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def not_ready(*_: object) -> bytes:
            raise BlockingIOError("EAGAIN")

        device.everything()
        watch = device.watch()
        with monkeypatch.context() as starting:
            starting.setattr(os, "read", not_ready)
            assert watch.objections() == ()
        assert "thermal" in watch.unknown()

    def test_folders_where_files_should_be(self, device: Device) -> None:
        device.everything()
        for file in [path for path in device.root.rglob("*") if path.is_file()]:
            file.unlink()
            file.mkdir()
        watch = device.watch()
        device.pass_time(60)
        assert watch.objections() == ()
        assert watch.remarks() == ()

    def test_files_where_folders_should_be(self, device: Device) -> None:
        for path in (f"{CPU}/cpufreq", THERMAL, POWER, "proc/pressure", f"{CPU}/cpu0"):
            device.write(path, "a file")
        assert device.watch().objections() == ()

    def test_every_file_is_read_once_a_reading(
        self, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[object] = []
        really_open = os.open

        def noted(path: Path, flags: int) -> int:
            opened.append(path)
            return really_open(path, flags)

        device.everything()
        watch = device.watch()
        with monkeypatch.context() as noting:
            noting.setattr(os, "open", noted)
            watch.objections()
        assert len(opened) > 20
        assert set(Counter(opened).values()) == {1}


def _all_files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


_CONTENT = st.one_of(
    st.binary(max_size=40),
    st.from_regex(r"\A-?[0-9]{1,25}\n?\Z").map(str.encode),
    st.sampled_from([b"powersave", b"Discharging", b"critical", b"Processor", b"cpu0 \n\ncpu0"]),
)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_content_of_any_file_is_an_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    device = Device(tmp_path_factory.mktemp("root"))
    device.everything()
    files = _all_files(device.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "STAT", device.root / "absent")
        patch.setattr(readers, "usable_cores", lambda: {0, 1, 2, 3})
        for file in data.draw(st.lists(st.sampled_from(files), unique=True)):
            file.write_bytes(data.draw(_CONTENT))
        watch = device.watch()
        for file in data.draw(st.lists(st.sampled_from(files), unique=True)):
            file.write_bytes(data.draw(_CONTENT))
        device.throttled = data.draw(st.none() | st.text(max_size=20))
        device.pass_time(data.draw(st.floats(0, 1e6)))
        for text in (*watch.objections(), *watch.remarks(), *watch.unknown()):
            assert text.isprintable()
        watch.figures()


def test_this_machine_is_asked_without_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
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
