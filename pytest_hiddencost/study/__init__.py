"""The device study: profiles of ten reference models on this device, and the papers' tables.

Run it with ``hiddencost study``, or ``pytest --pyargs pytest_hiddencost.study``. Compare the run
files of two devices with ``hiddencost compare A.json B.json``.
"""
