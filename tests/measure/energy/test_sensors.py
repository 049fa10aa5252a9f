"""Sensor chips: counters and power sensors of hwmon, the rails of Jetson boards."""

from __future__ import annotations

import time

import pytest

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.measure.energy.hwmon import hwmon_counters, hwmon_power
from pytest_hiddencost.measure.energy.jetson import is_jetson, jetson_power
from pytest_hiddencost.measure.energy.sampled_power import SampledPower
from tests.measure.energy.energy_files import EnergyFiles
from tests.measure.energy.metered_machine import MS


class Clock:
    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def sampled_nj(meter: SampledPower, *, seconds: float = 2.0) -> float:
    """The energy that a meter counts in this time, with one reading at its end."""
    clock = Clock()
    other = SampledPower(meter.name, meter.domain, meter._read_w, now_ns=clock)
    clock.now_ns = round(seconds * 1e9)
    other.sample()
    return other.read_nj()


# --- counters ----------------------------------------------------------------------------------


def test_the_sockets_of_amd_energy_count_and_its_cores_do_not(files: EnergyFiles) -> None:
    counters = {"energy1_label": "Ecore000", "energy1_input": 10, "energy2_label": "Esocket0"}
    counters |= {"energy2_input": 5_000, "energy3_label": "Esocket1", "energy3_input": 7_000}
    files.chip(3, "amd_energy", **counters)
    meter = hwmon_counters(files.root)
    assert meter.read_nj() == pytest.approx(12_000_000)
    assert (meter.name, meter.domain) == ("amd_energy", "package")


def test_the_only_counter_of_a_board_counts(files: EnergyFiles) -> None:
    files.chip(0, "ltc2947", energy1_input=42)
    meter = hwmon_counters(files.root)
    assert meter.read_nj() == pytest.approx(42_000)
    assert (meter.name, meter.domain) == ("ltc2947 energy1", "energy1")


def test_of_several_counters_the_one_of_the_supply_counts(files: EnergyFiles) -> None:
    files.chip(0, "scmi_sensors", energy1_label="big", energy1_input=1)
    files.chip(1, "ina228", energy1_label="VDD_IN", energy1_input=9)
    meter = hwmon_counters(files.root)
    assert (meter.name, meter.domain) == ("ina228 VDD_IN", "board")


def test_counters_none_of_which_is_the_boards_are_named(files: EnergyFiles) -> None:
    files.chip(0, "scmi_sensors", energy1_label="big", energy1_input=1)
    files.chip(1, "scmi_sensors", energy1_label="little", energy1_input=1)
    with pytest.raises(EnergyError, match="scmi_sensors big, scmi_sensors little"):
        hwmon_counters(files.root)


@pytest.mark.parametrize("chip", ["amdgpu", "i915", "xe"])
def test_a_gpu_is_not_taken_for_the_board(files: EnergyFiles, chip: str) -> None:
    files.chip(0, chip, energy1_input=1, power1_average=1)
    with pytest.raises(EnergyError, match="no energy counter in /sys/class/hwmon"):
        hwmon_counters(files.root)
    with pytest.raises(EnergyError, match="no power sensor in /sys/class/hwmon"):
        hwmon_power(files.root)


def test_a_battery_is_not_taken_for_the_board(files: EnergyFiles) -> None:
    """It charges, and a charger may feed the board beside it."""
    files.chip(0, "BAT0", in0_input=12_000, curr0_input=500, power1_input=6_000_000)
    files.write("sys/class/hwmon/hwmon0/device/type", "Battery")
    with pytest.raises(EnergyError, match="no power sensor"):
        hwmon_power(files.root)


# --- power sensors -----------------------------------------------------------------------------


def test_a_power_sensor_is_read_in_microwatts(files: EnergyFiles) -> None:
    files.chip(0, "ina226", in0_input=3, in1_input=5_000, curr1_input=900, power1_input=4_500_000)
    meter = hwmon_power(files.root)
    assert sampled_nj(meter, seconds=2) == pytest.approx(9e9)
    assert meter.name == "ina226 power1"


def test_a_chip_that_averages_is_not_read_more_often_than_it_changes(files: EnergyFiles) -> None:
    files.chip(0, "power_meter", power1_average=9_000_000, power1_average_interval=300)
    assert hwmon_power(files.root)._interval_s == 0.3


def test_the_supply_of_a_jetson_counts(files: EnergyFiles) -> None:
    files.orin_nano()
    meter = jetson_power(files.root)
    assert sampled_nj(meter) == pytest.approx(12e9)  # 6 W
    assert (meter.name, meter.domain) == ("INA3221 VDD_IN", "board")


def test_the_rails_of_a_jetson_without_a_supply_rail_count_together(files: EnergyFiles) -> None:
    files.orin_nano()
    files.write("sys/class/hwmon/hwmon1/in1_label", "VDD_GPU_SOC")
    files.write("sys/class/hwmon/hwmon1/in3_label", "NC")
    meter = jetson_power(files.root)
    assert sampled_nj(meter) == pytest.approx(16e9)  # 6 W and 2 W
    assert meter.name == "INA3221 VDD_GPU_SOC + VDD_CPU_GPU_CV"


def test_a_jetson_without_a_supply_rail_has_the_sum_of_its_enabled_channels(
    files: EnergyFiles,
) -> None:
    """The voltages of shunts and the sum of currents, which the chip has as well, are no rail."""
    files.agx_orin()
    meter = jetson_power(files.root)
    assert sampled_nj(meter) == pytest.approx(36e9)  # 18 W
    assert meter.name == "INA3221 VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0 + VDDQ_VDD2_1V8AO"


def test_the_only_enabled_channel_of_another_board_is_its_sensor(files: EnergyFiles) -> None:
    files.ina3221(0, {2: ("VDD_CORE", 1000, 3000)})
    meter = hwmon_power(files.root)
    assert sampled_nj(meter) == pytest.approx(6e9)  # 3 W
    assert meter.name == "ina3221 VDD_CORE"


def test_jetpack_4_has_its_rails_below_the_driver(files: EnergyFiles) -> None:
    files.nano()
    meter = jetson_power(files.root)
    assert sampled_nj(meter) == pytest.approx(5e9)  # 2.5 W
    assert meter.name == "INA3221 POM_5V_IN"


def test_another_board_is_no_jetson(files: EnergyFiles) -> None:
    files.orin_nano()
    assert is_jetson(files.root)
    files.write("proc/device-tree/model", "Raspberry Pi 5 Model B\0")
    assert not is_jetson(files.root)


def test_a_jetson_without_rails_says_where_it_looked(files: EnergyFiles) -> None:
    files.write("proc/device-tree/model", "NVIDIA Jetson Xavier NX\0")
    with pytest.raises(EnergyError, match="no rail of an INA3221 in /sys/class/hwmon or /sys/bus"):
        jetson_power(files.root)


# --- sampling ----------------------------------------------------------------------------------


def test_power_changes_evenly_between_two_readings() -> None:
    clock, power_w = Clock(), [2.0]
    meter = SampledPower("a", "b", lambda: power_w[0], now_ns=clock)
    clock.now_ns, power_w[0] = 10 * MS, 4.0
    meter.sample()
    assert meter.read_nj() == 3.0 * 10 * MS
    clock.now_ns = 20 * MS
    assert meter.read_nj() == 3.0 * 10 * MS  # nothing is known beyond the last reading
    meter.sample()
    assert meter.read_nj() == (3.0 + 4.0) * 10 * MS


def test_a_meter_samples_only_while_it_is_entered() -> None:
    readings: list[int] = []
    meter = SampledPower("a", "b", lambda: readings.append(1) or 5.0)  # type: ignore[func-returns-value]
    with meter:
        deadline = time.monotonic() + 60
        while meter.read_nj() == 0.0 and time.monotonic() < deadline:
            time.sleep(0.001)
    assert meter.read_nj() > 0
    count = len(readings)
    time.sleep(0.03)
    assert len(readings) == count


def test_a_sensor_that_fails_while_it_is_sampled_is_told() -> None:
    readings = iter([5.0, 5.0])

    def power_w() -> float:
        try:
            return next(readings)
        except StopIteration:
            raise EnergyError("the sensor is gone", "") from None

    meter = SampledPower("a", "b", power_w)
    with meter:
        thread = meter._thread
        assert thread is not None
        thread.join(timeout=60)
        with pytest.raises(EnergyError, match="the sensor is gone"):
            meter.read_nj()


def test_a_sensor_that_fails_at_once_is_told_before_anything_is_measured() -> None:
    def power_w() -> float:
        raise EnergyError("the sensor is gone", "")

    with pytest.raises(EnergyError, match="the sensor is gone"):
        SampledPower("a", "b", power_w)


def test_a_sensor_that_fails_once_goes_on() -> None:
    """As a bus does now and then."""
    readings = iter([5.0, 5.0, None, None])

    def power_w() -> float:
        if next(readings, 5.0) is None:
            raise EnergyError("the bus is busy", "")
        return 5.0

    meter = SampledPower("a", "b", power_w)
    with meter:
        deadline = time.monotonic() + 60
        while meter.read_nj() == 0.0 and time.monotonic() < deadline:
            time.sleep(0.001)
    assert meter.read_nj() > 0


def test_a_sensor_that_is_back_is_read_anew() -> None:
    working = [True]

    def power_w() -> float:
        if not working[0]:
            raise OSError("unplugged")
        return 5.0

    meter = SampledPower("a sensor", "b", power_w)
    with meter:
        working[0] = False
        thread = meter._thread
        assert thread is not None
        thread.join(timeout=60)
        with pytest.raises(EnergyError, match="a sensor cannot be read: OSError: unplugged"):
            meter.read_nj()
    working[0] = True
    with meter:
        assert meter.read_nj() >= 0.0


def test_a_new_value_of_a_sensor_is_another_one_unless_its_interval_is_known() -> None:
    power_w = [2.0]
    unknown = SampledPower("a", "b", lambda: power_w[0])
    known = SampledPower("a", "b", lambda: power_w[0], interval_s=0.01)
    for power_w[0] in (2.0, 2.0, 4.0, 4.0, 2.0):
        unknown.sample()
        known.sample()
    assert (unknown.updates, known.updates) == (2, 5)


@pytest.mark.parametrize(("interval", "known"), [(None, False), (0, True), (300, True)])
def test_the_driver_of_a_chip_may_know_its_interval(
    files: EnergyFiles, interval: int | None, known: bool
) -> None:
    told = {} if interval is None else {"update_interval": interval}
    files.chip(0, "ina226", power1_input=4_500_000, **told)
    meter = hwmon_power(files.root)
    meter.sample()
    assert meter.updates == known
