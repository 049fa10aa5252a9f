"""The device study: profiles of ten reference models on this device, and the papers' tables.

Run it with ``pytest --pyargs pytest_hiddencost.study``. Compare the run files of two devices with
``python -m pytest_hiddencost.study.compare A.json B.json``.
"""
