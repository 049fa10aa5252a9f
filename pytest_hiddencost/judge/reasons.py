"""The texts of inconclusive and new checks.

``found`` states the finding and its reference. ``remedy`` tells the user what to do: it names the
option or the marker argument that changes the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Reason:
    """The reason of a verdict, with placeholders in braces, and its remedy."""

    found: str
    remedy: str

    def filled(self, **values: object) -> Reason:
        """Return the reason with its placeholders replaced."""
        return Reason(self.found.format(**values), self.remedy.format(**values))


NOTHING_SEEN: Final = Reason(
    "the profiler saw no operator: the call ran none, or ran them in another thread",
    "run the model in the thread that calls it, or limit p50 alone",
)
NO_FORMULA: Final = Reason(
    "MACs are incomplete: no formula for {operators}",
    "limit p50 or operators instead of {quantity}",
)
UNCOUNTED_MACS: Final = Reason(
    "MACs are incomplete: no formula for {operators}",
    "register one with torch.utils.flop_counter.register_flop_formula; the structure's calls and "
    "bytes are compared all the same",
)
UNTIMED_MACS: Final = Reason(
    "{macs} ran in generated kernels, whose time counts as non-MAC time",
    "limit p50 or macs instead of non_mac",
)
STRADDLES: Final = Reason(
    "the confidence interval straddles the limit",
    "measure longer (--hiddencost-max-time) or move the limit in the marker",
)
STRADDLES_LENGTHY: Final = Reason(
    "the confidence interval of {count} calls straddles the limit",
    "move the limit in the marker, or measure longer: --hiddencost-max-time={seconds}s, which "
    "takes about {wait}",
)
FEW_SAMPLES: Final = Reason(
    "{quantity} has {count} samples, {confidence} confidence needs {needed}",
    "measure longer: --hiddencost-max-time={seconds}s",
)
FEW_LENGTHY_SAMPLES: Final = Reason(
    "{quantity} has {count} samples, {confidence} confidence needs {needed}",
    "measure longer: --hiddencost-max-time={seconds}s, which takes about {wait}, or lower "
    "--hiddencost-confidence",
)
FEW_WINDOWS: Final = Reason(
    "{windows} profiler windows and {samples} samples were taken, {needed} of each are needed",
    "measure longer (--hiddencost-max-time)",
)
WITHIN_CORRECTION: Final = Reason(
    "the limit lies within the uncertainty of the profiler's overhead: {event} per event, known to "
    "within {doubt}{rough}",
    "move the limit in the marker, or limit a whole group",
)
CALLS_VARY: Final = Reason(
    "the number of calls varies from call to call",
    "make the call do the same work every time (hiddencost(model, setup=...)), or limit its time",
)
VARIES: Final = Reason(
    "{quantity} differ from call to call",
    "make the call do the same work every time, with fresh arguments from "
    "hiddencost(model, setup=...), or limit p50 instead",
)
CALL_CHANGES: Final = Reason(
    "the call changes as it is repeated, so its times depend on the number of calls",
    "make the call do the same work every time, with fresh arguments from "
    "hiddencost(model, setup=...)",
)
UNSEEN: Final = Reason(
    "hiddencost saw only a part of the work: {time} of CPU time of each call ran in other threads "
    "or processes",
    "run it in the thread that calls the model, or limit p50 instead",
)
NO_MEMORY: Final = Reason(
    "activation memory cannot be measured on {device}",
    "take activation_memory out of this marker",
)
NO_ENERGY: Final = Reason(
    "the energy of a call was not measured", "measure it again with --hiddencost-energy"
)
ENERGY_UNKNOWN: Final = Reason("the energy of a call is unknown: {why}", "{remedy}")
UNFIT: Final = Reason("{reasons}", "{remedies}")
NO_BYTES: Final = Reason(
    "{side} has no byte counts, and the other side has some",
    "measure both sides on the same device (--hiddencost-device)",
)

CHANGED_STRUCTURE: Final = Reason(
    "no relaunch confirmed the growth: the structure failed already",
    "mend or accept the structure first (--hiddencost-update)",
)
NO_RELAUNCH: Final = Reason(
    "no relaunch confirmed the growth: this run starts none",
    "run without pytest-xdist (-n0)",
)
FEW_RELAUNCHES: Final = Reason(
    "only {count} of {needed} relaunches could be measured",
    "run again when the device is idle",
)
REFERENCE_MOVED: Final = Reason(
    "the reference workload is {change} than at recording: the device changed",
    "bring the device back to its earlier state, or record again (--hiddencost-update)",
)
TOO_SPREAD: Final = Reason(
    "a growth below {growth} cannot be detected with {launches} launches",
    'record more (--hiddencost-launches) or allow more: regression={{"{key}": "{allowed}"}}',
)
ONE_LAUNCH: Final = Reason(
    "the baseline holds one launch, so the spread between launches is unknown",
    "record again with --hiddencost-update --hiddencost-launches=3",
)
NEVER_FAILS: Final = Reason(
    "{launches} recorded launches cannot show a regression at {confidence} confidence among "
    "{calls} calls",
    "record more (--hiddencost-launches)",
)
RECORDED_UNFIT: Final = Reason(
    "the stored times were taken on a device unfit for timing: {why}",
    "record again when the device is idle (--hiddencost-update)",
)
OTHER_REFERENCE: Final = Reason(
    "the baseline was recorded with another reference workload",
    "record it again (--hiddencost-update)",
)
NO_REFERENCE: Final = Reason(
    "the baseline was recorded without the reference workload",
    "record it again (--hiddencost-update)",
)
NO_RECORDED_ENERGY: Final = Reason(
    "the baseline has no energy of this call",
    "record it again (--hiddencost-update)",
)
OTHER_ENERGY_METER: Final = Reason(
    "the baseline was recorded with the energy meter {recorded}, and this run has {own}",
    "record it again (--hiddencost-update)",
)
NO_TIME: Final = Reason(
    "a launch has no time for {key}",
    "run again, or record the baseline again (--hiddencost-update)",
)

PAIRS_WITHOUT_ENERGY: Final = Reason(
    "pairs of processes do not measure energy",
    "compare the energy with a baseline: run without --hiddencost-against",
)
PAIRS_OPEN: Final = Reason(
    "growth over base lies between {low} and {high} by {pairs} pairs of processes",
    'allow more, regression={{"{key}": "{allowed}"}}, or measure longer (--hiddencost-max-time)',
)
PAIRS_DIFFER: Final = Reason(
    "growth over base lies between {low} and {high} by {pairs} pairs of processes; head does more "
    "than base, which fails the test, so no more pairs measure it",
    "take out what head does more, or allow it in regression={{...}}; then run again",
)
PAIRS_TROUBLE: Final = Reason(
    "only {pairs} of {needed} pairs of processes could be measured; {trouble}",
    "mend that, then run again",
)
PAIRS_NO_TIME: Final = Reason(
    "{lacking} of {pairs} pairs of processes have no time for {key}: it is shorter than the "
    "profiler's overhead",
    "run again when the device is idle, or measure a call that does more work",
)
PAIRS_OVERSUBSCRIBED: Final = Reason(
    "growth over base lies between {low} and {high} by {pairs} pairs of processes; the call has "
    "more threads than the device has cores",
    "measure with fewer threads (--hiddencost-threads)",
)
PAIRS_MEMORY: Final = Reason(
    "growth over base lies between {low} and {high} by {pairs} pairs of processes; each call takes "
    "{faults} pages of memory anew from the system",
    "make the call reuse its memory, or run with an allocator that keeps what is freed",
)
PAIRS_BUSY: Final = Reason(
    "growth over base lies between {low} and {high} by {pairs} pairs of processes; other processes "
    "took the cores {preemptions} times a second",
    "run again when the device is idle, or permit a higher priority (ulimit -e, CAP_SYS_NICE)",
)
PAIRS_UNFIT: Final = Reason(
    "growth over base lies between {low} and {high} by {pairs} pairs of processes; {why}",
    "{remedies}",
)
PAIRS_VARY: Final = Reason(
    "growth over base lies between {low} and {high} by {pairs} pairs of processes; one turn of the "
    "same code differs from the next by {scatter}",
    "make the call do the same work every time, or measure longer (--hiddencost-max-time)",
)

NOT_COMMITTED: Final = Reason(
    "the stored times do not decide, and this entry of {file} is not committed",
    "commit the baseline file, then run again: base is the commit that accepted it",
)
NOT_IN_GIT: Final = Reason(
    "the stored times do not decide, and the baseline is not in the tests' git repository",
    "commit the tests and their baselines to git, then run again",
)
NO_GIT: Final = Reason(
    "the stored times do not decide, and git did not find the commit that accepted them: {why}",
    "mend that, then run again",
)
SHALLOW: Final = Reason(
    "the stored times do not decide, and this shallow clone lacks the commit that accepted them",
    "fetch the whole history (fetch-depth: 0, or git fetch --unshallow), then run again",
)
NOT_COMPARED: Final = Reason(
    "the stored times do not decide, and the accepted commit could not be measured: {why}",
    "mend that, or record again (--hiddencost-update)",
)

NO_BASELINE: Final = Reason("no baseline on this device", "record it with --hiddencost-update-new")
RECORDED_ELSEWHERE: Final = Reason(
    "no baseline for {own}; recorded under {other}: p50 {growth}",
    "record it with --hiddencost-update-new",
)
RECORDED_IN_FOLDER: Final = Reason(
    "no baseline in {own}; {other} has one of this call",
    "run with {option}",
)
NOT_IN_BASE: Final = Reason(
    "{why}", "compare with a revision that has this call (--hiddencost-against)"
)
LACKS_FILES: Final = Reason(
    "{why}; base lacks files that git does not know: {files}",
    "take them along (--hiddencost-carry={files})",
)
LACKS_LFS: Final = Reason(
    "{why}; base has git-lfs pointers in the place of {files}",
    "fetch them (git lfs fetch), or take yours along (--hiddencost-carry={files})",
)
NO_PAIR: Final = Reason("head and base were not compared: {why}", "mend that, then run again")
