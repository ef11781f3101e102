"""The methods by name, one file each; a new one is a file and a line here."""

from typing import Any

from fedsim.methods.fedasync import FedAsync
from fedsim.methods.fedavg import FedAvg
from fedsim.methods.fedbuff import FedBuff
from fedsim.methods.fedprox import FedProx
from fedsim.methods.message_pruning import MessagePruning
from fedsim.methods.qat import QAT

METHODS: dict[str, type[Any]] = {
    "fedavg": FedAvg,
    "fedprox": FedProx,
    "fedasync": FedAsync,
    "fedbuff": FedBuff,
    "message-pruning": MessagePruning,
    "qat": QAT,
}
