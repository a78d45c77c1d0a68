"""What every browser test uses: see ``chromium``, and ``alone`` for the page of one explorer."""

from alone import explorer, folder, root, start
from chromium import address, browser_context_args, browser_type_launch_args, chromium, page, site, watch

__all__ = [
    "address",
    "browser_context_args",
    "browser_type_launch_args",
    "chromium",
    "explorer",
    "folder",
    "page",
    "root",
    "site",
    "start",
    "watch",
]
