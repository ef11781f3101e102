"""fedsim: a discrete-event edge-network emulator for federated learning.

Real training on a clock of measured devices::

    import fedsim

    results = fedsim.run("quickstart", {"schedule.rounds": 5})
    results.metrics  # a pandas frame; so are .timeline and .devices

The names below are imported when first used, so that ``import fedsim`` loads neither torch nor pandas.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedsim import learn
    from fedsim.predicting import Prediction, predict_step
    from fedsim.results import Results
    from fedsim.runner import run
    from fedsim.sim.flows import transfer_times

    __version__: str

__all__ = ["Prediction", "Results", "__version__", "learn", "predict_step", "run", "transfer_times"]

_MODULE_OF = {
    "Prediction": "fedsim.predicting",
    "Results": "fedsim.results",
    "predict_step": "fedsim.predicting",
    "run": "fedsim.runner",
    "transfer_times": "fedsim.sim.flows",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("fedsim-edge")
    if name == "learn":
        return importlib.import_module("fedsim.learn")
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'fedsim' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
