"""Lazy scans: polars queries whose filters become the API's queries, and what they would cost."""

from pulseframes.scan.cost import cost as cost
from pulseframes.scan.scans import (
    scan_errors as scan_errors,
    scan_page_views as scan_page_views,
    scan_sessions as scan_sessions,
)
