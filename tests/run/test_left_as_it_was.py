"""The user's model, torch's global state and the user's captured output are as they were."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.suites import RUN_FILE, SHORT, passes, pytest_apart, run, run_apart, suite

# A model of everything that measuring could leave a trace in.
MODEL = """
import gc
import os
import random
import sys
import warnings

import numpy

class Everything(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.frozen = nn.BatchNorm2d(4).eval().requires_grad_(False)
        self.drop = nn.Dropout()
        self.spectral = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        self.register_buffer("counter", torch.zeros(1))
        self.register_buffer("replaced", torch.zeros(1))
        self.register_buffer("cache", None)
        self.register_buffer("hidden", torch.zeros(1), persistent=False)
        self.conv.register_forward_hook(self._hook)
        self.norm.register_forward_pre_hook(self._hook)

    def _hook(self, module, *rest):
        return None

    def forward(self, x):
        self.counter += 1
        self.hidden.add_(1)
        self.replaced = self.replaced + 1
        self.cache = x * 2
        x = self.drop(self.frozen(self.norm(self.conv(x))))
        return self.spectral(x.mean((2, 3))) + torch.rand(4) + random.random() + numpy.random.rand()


def everything():
    torch.manual_seed(1)
    model = Everything()
    model.conv.bias.requires_grad_(False)
    model.train()
    model.frozen.eval()
    return model, torch.randn(2, 3, 8, 8)


def state_of(model):
    state = model.state_dict(keep_vars=True)
    modules = list(model.named_modules())
    return {
        "state_dict": {n: (id(t), t.clone()) for n, t in state.items()},
        "buffers": {n: (id(b), b.clone()) for n, b in model.named_buffers()},
        "none": [(n, k) for n, m in modules for k, b in m._buffers.items() if b is None],
        "modules": [(n, id(m), m.training, sorted(vars(m))) for n, m in modules],
        "hooks": [
            (n, {k: list(v) for k, v in vars(m).items() if "hooks" in k and v is not None})
            for n, m in modules
        ],
        "parameters": [
            (n, id(p), p.requires_grad, p._version, id(p.grad), p.is_leaf)
            for n, p in model.named_parameters()
        ],
    }


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def torch_state():
    return {
        "rng": torch.get_rng_state(),
        "random": random.getstate(),
        "numpy": [numpy.array(v).tolist() for v in numpy.random.get_state()],
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "anomaly": torch.is_anomaly_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": str(torch.get_default_device()),
        "autocast": torch.is_autocast_enabled("cpu"),
        "mkldnn": torch.backends.mkldnn.enabled,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "fastpath": torch.backends.mha.get_fastpath_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "profiler": torch.autograd._profiler_enabled(),
        "global hooks": [
            len(hooks) for name, hooks in vars(torch.nn.modules.module).items()
            if name.startswith("_global") and hasattr(hooks, "__len__")
        ],
        "modes": (
            torch._C._len_torch_dispatch_stack(), torch._C._len_torch_function_stack(),
        ),
        "gc": (gc.isenabled(), gc.get_threshold(), list(gc.callbacks)),
        "environment": dict(os.environ),
        "filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "folder": os.getcwd(),
        "streams": (sys.stdout, sys.stderr, sys.__stderr__),
        "hooks": (sys.excepthook, sys.gettrace(), sys.getprofile()),
        "recursion": sys.getrecursionlimit(),
    }
"""
ONE_THREAD = "--hiddencost-threads=1"


def intact(pytester: pytest.Pytester, body: str, *arguments: str) -> str:
    """Run one test with this body after the models above; it must pass."""
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    test = f"def test_it(hiddencost, recwarn):\n{lines}\n"
    return passes(pytester, [MODEL, test], *(arguments or (ONE_THREAD,)))


GRAD_MODES = pytest.mark.parametrize("grad_mode", ["inference", "no_grad", "grad"])


# --- the model ----------------------------------------------------------------------------------


@GRAD_MODES
def test_model(pytester: pytest.Pytester, grad_mode: str) -> None:
    """Keys, identities and values of parameters and buffers; modes; hooks; versions; grads."""
    intact(
        pytester,
        f"""
model, image = everything()
before, copy = state_of(model), image.clone()
hiddencost(model, image, grad_mode={grad_mode!r})
after = state_of(model)
for name in before:
    assert same(before[name], after[name]), name
assert torch.equal(image, copy)
assert model.counter.item() == 0
""",
    )


def test_modes_of_frozen_submodules(pytester: pytest.Pytester) -> None:
    intact(
        pytester,
        """
model, image = everything()
assert model.training and not model.frozen.training
hiddencost(model, image)
assert model.training and model.norm.training and not model.frozen.training
model.eval()
model.drop.train()
hiddencost(model, image, label="eval")
assert not model.training and not model.norm.training and model.drop.training
""",
    )


def test_running_statistics_in_training_mode(pytester: pytest.Pytester) -> None:
    intact(
        pytester,
        """
norm = nn.BatchNorm1d(4).train()
norm(torch.randn(3, 4))
before = {name: (value, value.clone()) for name, value in norm.state_dict(keep_vars=True).items()}
hiddencost(norm, torch.randn(3, 4) + 7)
assert norm.num_batches_tracked.item() == 1
for name, value in norm.state_dict(keep_vars=True).items():
    assert value is before[name][0], name
    assert torch.equal(value, before[name][1]), name
""",
    )


@GRAD_MODES
def test_model_can_be_trained_afterwards(pytester: pytest.Pytester, grad_mode: str) -> None:
    """No inference tensor and no graph is left in it."""
    intact(
        pytester,
        f"""
model, image = everything()
hiddencost(model, image, grad_mode={grad_mode!r})
model(image).sum().backward()
assert model.conv.weight.grad is not None and model.conv.bias.grad is None
assert not any(t.is_inference() for t in model.state_dict().values())
""",
    )


def test_gradients_that_were_there(pytester: pytest.Pytester) -> None:
    intact(
        pytester,
        """
model, image = everything()
image.requires_grad_()
model(image).sum().backward()
grads = {name: p.grad for name, p in model.named_parameters()}
values = {name: grad.clone() for name, grad in grads.items() if grad is not None}
of_image = image.grad.clone()
hiddencost(model, image, grad_mode="grad")
for name, p in model.named_parameters():
    assert p.grad is grads[name], name
    assert p.grad is None or torch.equal(p.grad, values[name]), name
assert values
assert torch.equal(image.grad, of_image) and image.requires_grad
""",
    )


def test_gradients_of_a_model_that_runs_backward_itself(pytester: pytest.Pytester) -> None:
    """A training step: every call adds to ``grad``."""
    intact(
        pytester,
        """
class Step(nn.Linear):
    def forward(self, x):
        loss = super().forward(x).sum()
        loss.backward()
        return loss

step = Step(4, 4)
hiddencost(step, torch.ones(2, 4), grad_mode="grad")
assert step.weight.grad is None and step.bias.grad is None
super(Step, step).forward(torch.ones(2, 4)).sum().backward()
before = step.weight.grad.clone()
hiddencost(step, torch.ones(2, 4), grad_mode="grad", label="again")
assert torch.equal(step.weight.grad, before)
""",
    )


def test_inputs_changed_in_place(pytester: pytest.Pytester) -> None:
    """At any depth, of any kind; the values that were there are there again."""
    intact(
        pytester,
        """
class Greedy(nn.Module):
    def forward(self, x, nested, *, flag, table):
        x.mul_(2)
        nested["a"][0].fill_(float("nan"))
        flag.logical_not_()
        table.t_().zero_()
        return x + 1

x, y = torch.ones(2, 3), torch.full((2,), float("inf"))
flag, table = torch.tensor(True), torch.arange(6).reshape(2, 3)
hiddencost(Greedy().eval(), x, {"a": [y]}, flag=flag, table=table)
assert torch.equal(x, torch.ones(2, 3)) and torch.equal(y, torch.full((2,), float("inf")))
assert flag.item() is True
assert torch.equal(table, torch.arange(6).reshape(2, 3))
""",
    )


def test_input_that_is_a_buffer_and_shared_twice(pytester: pytest.Pytester) -> None:
    intact(
        pytester,
        """
class Adding(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(2))
        self.twin = self.total
    def forward(self, x):
        x += 1
        self.total += x
        return self.total

model = Adding().eval()
hiddencost(model, model.total)
assert model.total.tolist() == [0, 0] and model.twin is model.total
""",
    )


def test_user_hooks_are_called_and_stay(pytester: pytest.Pytester) -> None:
    intact(
        pytester,
        """
model, image = everything()
calls = []
handle = model.drop.register_forward_hook(lambda *rest: calls.append(1))
hiddencost(model, image)
assert calls
count = len(calls)
model(image)
assert len(calls) == count + 1
handle.remove()
model(image)
assert len(calls) == count + 1
""",
    )


# --- the process --------------------------------------------------------------------------------


@GRAD_MODES
@pytest.mark.parametrize("arguments", [ONE_THREAD, "--hiddencost-threads=3"])
def test_global_state(pytester: pytest.Pytester, grad_mode: str, arguments: str) -> None:
    intact(
        pytester,
        f"""
model, image = everything()
before = torch_state()
hiddencost(model, image, grad_mode={grad_mode!r})
after = torch_state()
for name in before:
    assert same(before[name], after[name]), name
""",
        arguments,
    )


@pytest.mark.parametrize(
    "setting",
    [
        "torch.set_default_dtype(torch.float64)",
        "torch.set_grad_enabled(False)",
        "torch.set_num_threads(3)",
        "gc.disable()",
        "torch.autograd.set_detect_anomaly(True)",
        "torch.use_deterministic_algorithms(True)",
        "torch.backends.mha.set_fastpath_enabled(False)",
        "torch.set_float32_matmul_precision('medium')",
        "os.environ.__setitem__('KINETO_LOG_LEVEL', '3')",
        "warnings.simplefilter('error', ResourceWarning)",
        "random.seed(5)",
        "numpy.random.seed(5)",
    ],
)
def test_what_the_user_has_set_stays_set(pytester: pytest.Pytester, setting: str) -> None:
    """In a try of its own: what one test sets must not reach the next."""
    intact(
        pytester,
        f"""
image = torch.randn(2, 3, 8, 8)
was = torch_state()
model = nn.Conv2d(3, 4, 3).eval()
try:
    {setting}
    before = torch_state()
    hiddencost(model, image)
    after = torch_state()
    for name in before:
        assert same(before[name], after[name]), name
finally:
    torch.set_default_dtype(was["dtype"])
    torch.set_grad_enabled(True)
    torch.set_num_threads(was["threads"][0])
    gc.enable()
    torch.autograd.set_detect_anomaly(False)
    torch.use_deterministic_algorithms(False)
    torch.backends.mha.set_fastpath_enabled(True)
    torch.set_float32_matmul_precision(was["precision"])
    os.environ.pop("KINETO_LOG_LEVEL", None)
""",
    )


def test_random_numbers_go_on_where_they_were(pytester: pytest.Pytester) -> None:
    intact(
        pytester,
        """
def draw():
    return torch.rand(3).tolist(), random.random(), numpy.random.rand()

model, image = everything()
for seed in (torch.manual_seed, random.seed, numpy.random.seed):
    seed(7)
expected = draw(), draw()
for seed in (torch.manual_seed, random.seed, numpy.random.seed):
    seed(7)
first = draw()
hiddencost(model, image)
assert (first, draw()) == expected
""",
    )


def test_collector_off_while_timing_on_afterwards(pytester: pytest.Pytester) -> None:
    intact(
        pytester,
        """
seen = set()
def function(x):
    seen.add(gc.isenabled())
    return x + 1
assert gc.isenabled()
hiddencost(function, X)
assert seen == {False}
assert gc.isenabled()
""",
    )


def test_inside_the_users_contexts(pytester: pytest.Pytester) -> None:
    intact(
        pytester,
        """
model, image = everything()
with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
    before = torch_state()
    hiddencost(model, image)
    after = torch_state()
for name in before:
    assert same(before[name], after[name]), name
""",
    )


# --- a forward that raises ----------------------------------------------------------------------


@GRAD_MODES
@pytest.mark.parametrize("when", ["calls == 1", "calls == 2", "calls == 3", "calls == 12"])
def test_forward_that_raises(pytester: pytest.Pytester, when: str, grad_mode: str) -> None:
    """At once, while MACs are counted, while memory is, while it is timed."""
    _raises(pytester, f"self.{when}", grad_mode)


@pytest.mark.parametrize("nth", [1, 2, 5])
def test_forward_that_raises_under_the_profiler(pytester: pytest.Pytester, nth: int) -> None:
    _raises(pytester, f"self.profiled == {nth}", "inference")


def _raises(pytester: pytest.Pytester, when: str, grad_mode: str) -> None:
    intact(
        pytester,
        f"""
class Raising(Everything):
    calls = 0
    profiled = 0
    def forward(self, x):
        self.calls += 1
        self.profiled += torch.autograd._profiler_enabled()
        result = super().forward(x)
        x.add_(1)
        if {when}:
            raise KeyError("their own")
        return result

torch.manual_seed(1)
model, image = Raising().train(), torch.randn(2, 3, 8, 8)
model.calls = model.profiled = 0
before, outside, copy = state_of(model), torch_state(), image.clone()
with pytest.raises(KeyError, match="their own"):
    hiddencost(model, image, grad_mode={grad_mode!r})
after, now = state_of(model), torch_state()
for name in before:
    assert same(before[name], after[name]), name
for name in outside:
    assert same(outside[name], now[name]), name
assert torch.equal(image, copy)
assert hiddencost.profiles == []
model.__class__ = Everything
assert hiddencost(model, image).operators
""",
    )


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit(3)"])
def test_interrupted_forward(pytester: pytest.Pytester, error: str) -> None:
    intact(
        pytester,
        f"""
def interrupted(x):
    if torch.autograd._profiler_enabled():
        raise {error}
    return x + 1

before = torch_state()
with pytest.raises(({error.partition("(")[0]},)):
    hiddencost(interrupted, X)
after = torch_state()
for name in before:
    assert same(before[name], after[name]), name
""",
    )


# --- what is captured ---------------------------------------------------------------------------

CAPTURES = """
def test_nothing_of_ours(hiddencost, capture):
    hiddencost(MODEL, X)
    assert not any(capture.readouterr())

def test_all_of_theirs(hiddencost, capfd):
    calls = []
    def talkative(x):
        calls.append(1)
        os.write(1, b"to one\\n")
        os.write(2, b"to two\\n")
        return x + 1

    hiddencost(talkative, X)
    out, err = capfd.readouterr()
    assert out == "to one\\n" * len(calls)
    assert err == "to two\\n" * len(calls)

def test_all_they_print(hiddencost, capsys):
    calls = []
    def talkative(x):
        calls.append(1)
        print("to one")
        print("to two", file=sys.stderr)
        return x + 1

    hiddencost(talkative, X)
    out, err = capsys.readouterr()
    assert out == "to one\\n" * len(calls)
    assert err == "to two\\n" * len(calls)

def test_nothing_of_ours_at_an_error(hiddencost, capfd):
    def raising(x):
        if torch.autograd._profiler_enabled():
            raise KeyError
        return x + 1

    with pytest.raises(KeyError):
        hiddencost(raising, X)
    assert tuple(capfd.readouterr()) == ("", "")

def test_descriptors(hiddencost):
    before = sorted(os.listdir("/proc/self/fd"))
    hiddencost(MODEL, X)
    assert sorted(os.listdir("/proc/self/fd")) == before

def test_logs(hiddencost, caplog):
    caplog.set_level(0)
    hiddencost(MODEL, X)
    assert caplog.records == []

def test_environment(hiddencost):
    before = dict(os.environ)
    hiddencost(MODEL, X)
    assert dict(os.environ) == before
"""
FIXTURES = """
import os
import sys

@pytest.fixture(params=["capfd", "capsys", "capfdbinary", "capteesys"])
def capture(request):
    found = request.getfixturevalue(request.param)
    yield found
"""
THEIR_PROFILER = """
@pytest.fixture(scope="session", autouse=True)
def their_own_profiler():
    with torch.profiler.profile() as session:
        torch.ones(1)
"""


@pytest.mark.parametrize("first", ["", THEIR_PROFILER], ids=["ours first", "theirs first"])
def test_captured_output(tmp_path: Path, first: str) -> None:
    """Kineto prints to file descriptor 2, from the first session of a process on."""
    (tmp_path / "test_it.py").write_text(suite(FIXTURES, first, CAPTURES), encoding="utf-8")
    done = pytest_apart(tmp_path, SHORT, "-rfE", "--tb=short")
    assert done.code == 0, done.output


def test_stderr_of_the_whole_run_is_clean(tmp_path: Path) -> None:
    done = run_apart(
        tmp_path,
        ["def test_it(hiddencost): hiddencost(MODEL, X)"],
        "-s",
        f"--hiddencost-json={RUN_FILE}",
    )
    assert done.code == 0
    assert done.stderr == ""
    assert not re.search("profiler_st|USDT|thop|INFO", done.stdout)


def test_warnings_are_the_users_alone(pytester: pytest.Pytester) -> None:
    """With every warning an error: nothing that we import or call may give one."""
    result = run(
        pytester,
        "def test_it(hiddencost): hiddencost(Net().eval(), IMAGE)",
        ONE_THREAD,
        "-Werror",
    )
    result.assert_outcomes(passed=1)


def test_warnings_of_the_model_reach_the_user(pytester: pytest.Pytester) -> None:
    intact(
        pytester,
        """
def warning(x):
    warnings.warn("theirs", UserWarning)
    return x + 1
hiddencost(warning, X)
assert {str(w.message) for w in recwarn.list} == {"theirs"}
""",
    )
