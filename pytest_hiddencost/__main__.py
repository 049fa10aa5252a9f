"""``python -m pytest_hiddencost`` is the ``hiddencost`` command."""

from pytest_hiddencost.cli.main import command_line

if __name__ == "__main__":
    command_line(prog_name="hiddencost")
