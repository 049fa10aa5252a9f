"""Call one function in this process: ``python -m benchmarks.lib.worker MODULE FUNCTION JSON``."""

import gc
import json
import sys
from importlib import import_module


def main(module: str, function: str, arguments: str) -> None:
    """Call the function with these keyword arguments and print its result as the last line."""
    called = getattr(import_module(module), function)
    gc.collect()
    gc.disable()  # a collection in a measured call would be counted as its time
    print(json.dumps(called(**json.loads(arguments))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
