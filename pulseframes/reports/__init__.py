"""A lake's report: collect the findings, describe and draw them, and render one HTML page."""

from pulseframes.reports.basis import summary
from pulseframes.reports.findings import Findings, collect
from pulseframes.reports.page import NEEDED, TITLE, render, report, save, writable

__all__ = ["NEEDED", "TITLE", "Findings", "collect", "render", "report", "save", "summary", "writable"]
