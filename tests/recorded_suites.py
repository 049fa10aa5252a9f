"""Suites whose baselines are recorded, in this process and in whole ones, and how they run."""

from tests.suites import SHORT

RUN = ("--hiddencost-json=run.json", "--junitxml=junit.xml", SHORT, "--hiddencost-threads=1")
# Structure is what most of these are about: time may do what it likes.
LOOSE = "--hiddencost-tolerance=1000%"
RECORD = ("--hiddencost-update", "--hiddencost-launches=2")

ONE = """
def test_one(hiddencost):
    hiddencost(MODEL, X)
"""
TWO = """
def test_two(hiddencost):
    hiddencost(MODEL, X, label="a")
    hiddencost(MODEL, X, label="b")
"""
COPYING = """
class Copying(nn.Sequential):
    def forward(self, x):
        return super().forward(x).clone()


def test_one(hiddencost):
    hiddencost(Copying(*MODEL).eval(), X)
"""
