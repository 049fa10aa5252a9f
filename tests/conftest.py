"""pytester, for the tests that run pytest with the plugin."""

# pytester forgets what a run in this process imported; torch's compiler cannot be imported twice.
import torch._dynamo  # noqa: F401

pytest_plugins = ["pytester"]
