"""A lake's report: what it has to say is found once, put into words, drawn, and written as one page."""

from pulseframes.reports.basis import summary
from pulseframes.reports.findings import Findings, find
from pulseframes.reports.page import NEEDED, TITLE, render, report, save, writable

__all__ = ["NEEDED", "TITLE", "Findings", "find", "render", "report", "save", "summary", "writable"]
