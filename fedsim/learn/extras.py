"""Libraries that are not installed with fedsim but as an extra of it."""

from __future__ import annotations

import importlib
from types import ModuleType

from fedsim.errors import InputError


def extra(module: str, *, of: str, needed_by: str) -> ModuleType:
    """Import *module*, which belongs to the extra *of* fedsim.

    Raises InputError that says how to install it when it is missing.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{needed_by} needs the library {module!r}, which cannot be imported ({error}): "
            f"pip install 'fedsim-edge[{of}]'"
        ) from error
