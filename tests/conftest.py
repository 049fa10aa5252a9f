"""pytester, for the tests that run pytest with the plugin."""

pytest_plugins = ["pytester"]
