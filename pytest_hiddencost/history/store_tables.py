"""The tables of a store: columns, types and meanings, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

STORE_SCHEMA = 2
"""The version that this plugin writes; a higher one only ever adds columns."""
SCHEMA_KEY = b"hiddencost.schema"  # in the metadata of each Parquet file

ColumnKind = Literal["text", "integer", "number", "flag", "moment", "integers"]


@dataclass(frozen=True)
class StoreColumn:
    """One column of a table; every value but those of ``run_id`` and ``time`` may be missing."""

    name: str
    kind: ColumnKind
    meaning: str


_OF_RUN = (
    StoreColumn("run_id", "text", "id of the run; ids sort by time (UUID version 7)"),
    StoreColumn("time", "moment", "end of the run, UTC"),
    StoreColumn("device", "text", "key of the device"),
)
_OF_FILE = StoreColumn("part", "text", "name of the file that the row was written to")
_OF_CALL = (
    StoreColumn("test", "text", "id of the test"),
    StoreColumn("label", "text", "label of the call; empty without one"),
)

STORE_TABLES: dict[str, tuple[StoreColumn, ...]] = {
    "runs": (
        *_OF_RUN,
        StoreColumn("schema", "integer", "version of the tables' columns"),
        StoreColumn("commit", "text", "commit that was checked out; empty outside a repository"),
        StoreColumn("branch", "text", "branch that was checked out, or the one that CI names"),
        StoreColumn("dirty", "flag", "whether files differed from the commit"),
        StoreColumn("torch", "text", "version of torch"),
        StoreColumn("version", "text", "version of pytest-hiddencost"),
        StoreColumn("model", "text", "name of the board or the processor"),
        StoreColumn("kind", "text", "cpu, cuda, ..."),
        StoreColumn("cores", "integer", "cores that the run could use"),
        StoreColumn("threads", "integer", "threads of torch"),
        StoreColumn("arch", "text", "architecture"),
        StoreColumn("os", "text", "operating system"),
        StoreColumn("python", "text", "version of Python"),
        StoreColumn("fit", "flag", "whether the device was fit in all measurements"),
        StoreColumn("health", "text", "why the device was not fit"),
        StoreColumn("host", "text", "host name; only with --hiddencost-store-host"),
        StoreColumn("profiles", "integer", "number of measured calls"),
        _OF_FILE,
    ),
    "profiles": (
        *_OF_RUN,
        *_OF_CALL,
        StoreColumn("call_model", "text", "name of the model"),
        StoreColumn("p50_ns", "number", "median latency"),
        StoreColumn("p95_ns", "number", "latency that 95 % of the calls do not exceed"),
        StoreColumn("p99_ns", "number", "latency that 99 % of the calls do not exceed"),
        StoreColumn("p50_low_ns", "number", "lower end of the interval of p50"),
        StoreColumn("p50_high_ns", "number", "upper end of the interval of p50"),
        StoreColumn("confidence", "number", "confidence of the interval"),
        StoreColumn("relative", "number", "latency divided by that of the reference workload"),
        StoreColumn("reference_version", "integer", "version of the reference workload"),
        StoreColumn("non_mac_ns", "number", "non-MAC time"),
        StoreColumn("mac_ns", "number", "time of MAC kernels"),
        StoreColumn("macs", "integer", "multiply-accumulates of a call"),
        StoreColumn("peak_bytes", "integer", "activation peak"),
        StoreColumn("energy_nj", "number", "energy of a call, idle power included"),
        StoreColumn("energy_low_nj", "number", "lower end of the interval of the energy"),
        StoreColumn("energy_high_nj", "number", "upper end of the interval of the energy"),
        StoreColumn("idle_w", "number", "power of the idle device"),
        StoreColumn("energy_meter", "text", "meter of the energy"),
        StoreColumn(
            "verdict", "text", "worst verdict: pass, fail, inconclusive, new; empty without"
        ),
        StoreColumn("fit", "flag", "whether the device was fit"),
        StoreColumn("health", "text", "why the device was not fit"),
        StoreColumn("samples", "integers", "timed calls, in ns, in order; missing once compacted"),
        _OF_FILE,
    ),
    "operators": (
        *_OF_RUN,
        *_OF_CALL,
        StoreColumn("name", "text", "operator, such as aten::cat"),
        StoreColumn("group", "text", "group of the operator"),
        StoreColumn("calls", "integer", "calls of the operator in one call"),
        StoreColumn("self_ns", "number", "self time in one call"),
        StoreColumn("mac_share", "number", "share of the self time that is MAC time"),
        _OF_FILE,
    ),
}
RUNS, PROFILES_TABLE, OPERATORS_TABLE = STORE_TABLES
