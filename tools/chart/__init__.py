"""Writes what the chart takes from elsewhere: ``python -m tools.chart [--check]``, or ``make chart``."""
