"""Events of torch's profiler, made by hand: no accelerator is needed."""

from __future__ import annotations

from dataclasses import dataclass

from torch._C._autograd import DeviceType

CPU, CUDA = DeviceType.CPU, DeviceType.CUDA


@dataclass
class Raw:
    """An event of torch's profiler, as far as the plugin reads it."""

    text: str
    start: int
    duration: int
    kind: DeviceType = CPU
    correlation: int = 0
    linked: int = 0
    annotation: bool = False

    def name(self) -> str:
        return self.text

    def start_ns(self) -> int:
        return self.start

    def duration_ns(self) -> int:
        return self.duration

    def device_type(self) -> DeviceType:
        return self.kind

    def correlation_id(self) -> int:
        return self.correlation

    def linked_correlation_id(self) -> int:
        return self.linked

    def is_user_annotation(self) -> bool:
        return self.annotation
