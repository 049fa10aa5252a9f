"""A device for tests: a root folder with its files in /proc and /sys, and its clocks."""

from __future__ import annotations

from pathlib import Path

from pytest_hiddencost.measure.device.health import DeviceWatch
from pytest_hiddencost.measure.device.readings import Clocks

CPU = "sys/devices/system/cpu"
THERMAL = "sys/class/thermal"
POWER = "sys/class/power_supply"


class Board:
    """A device of four cores, with files and clocks that a test sets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clocks = Clocks(monotonic_s=1000.0, wall_s=1.7e9, boot_s=1500.0)
        self.throttled: str | None = None
        self.tool_runs = 0

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

    def cooling(self, number: int, kind: str, step: int, last_step: int) -> None:
        for name, content in {"type": kind, "cur_state": step, "max_state": last_step}.items():
            self.write(f"{THERMAL}/cooling_device{number}/{name}", content)

    def throttle_count(self, core: int, part: str, count: int) -> None:
        self.write(f"{CPU}/cpu{core}/thermal_throttle/{part}_throttle_count", count)

    def supply(self, name: str, **files: object) -> None:
        for file, content in files.items():
            self.write(f"{POWER}/{name}/{file}", content)

    def stat(self, *, busy: float = 0, stolen: float = 0) -> None:
        """Busy and stolen seconds of each of the four cores."""
        ticks = (
            f"{round(busy * 100)} 0 0 {{idle}} 50 0 0 {round(stolen * 100)} {round(busy * 100)} 0"
        )
        cores = [f"cpu{core} {ticks.format(idle=1000)}" for core in range(4)]
        other = f"cpu4 {ticks.format(idle=7)}"  # not usable by this process
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
        self.tool_runs += 1
        return self.throttled

    def watch(self, device_type: str = "cpu", threads: int = 2) -> DeviceWatch:
        return DeviceWatch(
            threads,
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
        self.zone(0, "acpitz", 27.8, hot=20.8, critical=119.0)  # a placeholder of many firmwares
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
