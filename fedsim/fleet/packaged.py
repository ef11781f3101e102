"""Where the data files lie, in a checkout as in an installed wheel."""

from __future__ import annotations

from pathlib import Path


def packaged(folder: str) -> Path:
    """Return the *folder* of data files that came with fedsim: from the wheel, else from the checkout.

    >>> packaged("device_profiles").name
    'device_profiles'
    """
    package = Path(__file__).parents[1]
    installed = package / "_data" / folder
    return installed if installed.is_dir() else package.parent / folder
