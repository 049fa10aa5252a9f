"""pytester, for the tests that run pytest with the plugin; and one thread for torch."""

import torch

# pytester forgets what a run in this process imported; torch's compiler cannot be imported twice.
import torch._dynamo

pytest_plugins = ["pytester"]

# Two threads wait for each other while other processes use the cores, for seconds on two cores.
torch.set_num_threads(1)
