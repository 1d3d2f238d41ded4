"""Finds a browser to test the report in or, run as a program, installs Debian's if that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ON_A_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
NEEDED = "The tests of the report need a browser: install the package chromium, or Google Chrome, or set CHROMIUM to a browser's path."


def find() -> str | None:
    """Return the program: $CHROMIUM or, if that is not set, the first that is installed."""
    chosen = os.environ.get("CHROMIUM")
    if chosen:
        return shutil.which(chosen)
    paths = (shutil.which(name) for name in (*NAMES, ON_A_MAC))
    return next((path for path in paths if path is not None), None)


def install() -> None:
    """Install Debian's package, as root or by sudo without a password."""
    if os.environ.get("CHROMIUM") or shutil.which("apt-get") is None:
        sys.exit(NEEDED)
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if as_root and shutil.which("sudo") is None:
        sys.exit(NEEDED)
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run([*as_root, "apt-get", *command], env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            sys.exit(NEEDED)


if __name__ == "__main__":
    if find() is None:
        install()
    sys.exit(None if find() else NEEDED)
