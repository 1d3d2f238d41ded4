"""A lake's report: what it has to say is found once, put into words, drawn, and written as one page."""

from pulseframes.reporting.basis import summary
from pulseframes.reporting.findings import Findings, find
from pulseframes.reporting.page import NEEDED, TITLE, render, report, save, writable

__all__ = ["NEEDED", "TITLE", "Findings", "find", "render", "report", "save", "summary", "writable"]
