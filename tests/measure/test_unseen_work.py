"""Work in other threads and processes is noticed, and threads that only live beside it are not."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool
from queue import SimpleQueue

import pytest
import torch
from torch import nn

from pytest_hiddencost.core.records import Profile, Sampling
from pytest_hiddencost.measure import profile, unseen_work
from pytest_hiddencost.measure.operators.profiler import SEES_ALL_THREADS

BRIEF = Sampling(max_time_ns=1_000_000, min_samples=5)
X = torch.ones(8, 64)
LAYER = nn.Linear(64, 64).eval()

sees_threads = pytest.mark.skipif(not SEES_ALL_THREADS, reason="torch records one thread only")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unseen_work, "SETTLED_NS", 5_000_000)


def measured(model: Callable[..., object], *arguments: object) -> Profile:
    return profile(model, *arguments, sampling=BRIEF)


def layer(x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.as_tensor(LAYER(x))


@sees_threads
def test_branches_in_a_thread_pool_are_told_with_their_operators() -> None:
    with ThreadPoolExecutor(2) as pool:
        result = measured(lambda x: sum(pool.map(layer, [x, x])), X)
    assert result.unseen_ns > 0
    [note] = [note for note in result.notes if "cannot count" in note]
    assert "other threads run operators (" in note
    assert "aten::linear" in note
    assert "run it in the thread that calls the model, or limit p50 alone" in note


@sees_threads
def test_a_thread_that_lives_as_long_as_the_call_is_told() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        found: list[torch.Tensor] = []
        thread = threading.Thread(target=lambda: found.append(layer(x)))
        thread.start()
        thread.join()
        return found[0]

    assert measured(model, X).unseen_ns > 0


@sees_threads
def test_threads_of_multiprocessing_are_told() -> None:
    with ThreadPool(2) as pool:
        assert measured(lambda x: sum(pool.map(layer, [x, x])), X).unseen_ns > 0


@sees_threads
def test_a_worker_thread_behind_a_queue_is_told() -> None:
    jobs, results = SimpleQueue[torch.Tensor | None](), SimpleQueue[torch.Tensor]()

    def work() -> None:
        while (job := jobs.get()) is not None:
            results.put(layer(job))

    def model(x: torch.Tensor) -> torch.Tensor:
        jobs.put(x)
        return results.get()

    threading.Thread(target=work, daemon=True).start()
    assert measured(model, X).unseen_ns > 0
    jobs.put(None)


def product(x: torch.Tensor) -> torch.Tensor:
    return torch.mm(x, x.t())


def forking(x: torch.Tensor) -> torch.Tensor:
    later = torch.jit.fork(product, x)
    result: torch.Tensor = torch.jit.wait(later)
    return result.sum() + x.sum()


@sees_threads
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
def test_a_task_that_a_script_forks_is_told() -> None:
    assert measured(torch.jit.script(forking), X).unseen_ns > 0


def test_a_program_that_every_call_starts_is_told() -> None:
    result = measured(lambda x: x + subprocess.call(["true"]), X)
    assert result.unseen_ns > 0
    assert any("child processes work" in note for note in result.notes)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the clocks of Linux")
def test_python_code_of_another_thread_is_told() -> None:
    with ThreadPoolExecutor(1) as pool:
        result = measured(lambda x: x + pool.submit(sum, range(100_000)).result() * 0, X)
    assert result.unseen_ns > 0
    assert any("other threads work" in note for note in result.notes)


@contextmanager
def beside(work: Callable[[], object], every_s: float) -> Iterator[None]:
    stop = threading.Event()

    def again() -> None:
        while not stop.wait(every_s):
            work()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("every_s", [0.0, 0.002])
def test_operators_of_a_thread_beside_the_call_are_not_its_work(every_s: float) -> None:
    with beside(lambda: layer(X), every_s):
        assert measured(LAYER, X).unseen_ns == 0


def test_a_monitoring_thread_is_not_work_of_the_call() -> None:
    with beside(lambda: sum(range(1000)), 0.001):
        assert measured(LAYER, X).unseen_ns == 0


def test_a_child_that_works_beside_the_call_is_not_its_work() -> None:
    program = "import time\nwhile time.process_time() < 20: pass"
    child = subprocess.Popen([sys.executable, "-S", "-c", program])
    try:
        assert measured(LAYER, X).unseen_ns == 0
    finally:
        child.kill()
        child.wait()


def test_a_setup_that_works_elsewhere_is_not_work_of_the_call() -> None:
    with ThreadPoolExecutor(1) as pool:
        result = profile(LAYER, setup=lambda: (pool.submit(layer, X).result(),), sampling=BRIEF)
    assert result.unseen_ns == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_a_training_step_has_no_work_out_of_sight(threads: int) -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), 0.0)

    def step(x: torch.Tensor) -> None:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert profile(step, X, grad_mode="grad", sampling=BRIEF).unseen_ns == 0
    finally:
        torch.set_num_threads(before)
