"""What every browser test uses: see ``chromium``."""

from chromium import address, browser_context_args, browser_type_launch_args, chromium, page, site, watch

__all__ = ["address", "browser_context_args", "browser_type_launch_args", "chromium", "page", "site", "watch"]
