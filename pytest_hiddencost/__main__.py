"""``python -m pytest_hiddencost`` is the ``hiddencost`` command."""

from pytest_hiddencost.cli.main import main

if __name__ == "__main__":
    main(prog_name="hiddencost")
