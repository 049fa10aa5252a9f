"""The device study: ten reference models, profiled where it runs, and the papers' tables.

Run it with ``pytest --pyargs pytest_hiddencost.study``; compare two devices' run files with
``python -m pytest_hiddencost.study.compare A.json B.json``.
"""
