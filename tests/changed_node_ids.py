"""A conftest.py that changes node ids after the collection, as plugins do."""

CHANGING = """
import pytest

def changed(item, text):
    if hasattr(item, "_id"):  # pytest 9.2
        from _pytest.nodeid import coerce_node_id
        item._id = coerce_node_id(text)
    else:
        item._nodeid = text

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    for item in items:
        CHANGE
"""
GROUPS = CHANGING.replace("CHANGE", 'changed(item, item.nodeid + "@device")')
"""As pytest-xdist does with ``--dist=loadgroup``."""
READABLE = CHANGING.replace(
    "CHANGE",
    'item.name = item.name.encode().decode("unicode_escape"); '
    'changed(item, item.nodeid.encode().decode("unicode_escape"))',
)
"""As many suites do, to see the letters of parameters and not their escapes."""
TITLES = CHANGING.replace("CHANGE", 'changed(item, item.nodeid + " - what it shows")')
CHANGES = {"groups": GROUPS, "readable": READABLE, "titles": TITLES}
