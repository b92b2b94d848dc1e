"""Programs that run with the code and the Python of any checkout from 0.4.0 on, so that two can be compared in one run.

They are started as files, with the checkout as PYTHONPATH, and import nothing of this package.
"""
