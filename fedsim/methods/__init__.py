"""The methods by name, one file each; a new one is a file and a line here."""

from typing import Any

from fedsim.methods.ds_fl import DsFl
from fedsim.methods.equitable_fl import EquitableFl
from fedsim.methods.fedadam import FedAdam
from fedsim.methods.fedasync import FedAsync
from fedsim.methods.fedavg import FedAvg
from fedsim.methods.fedbuff import FedBuff
from fedsim.methods.fedmd import FedMd
from fedsim.methods.fedprox import FedProx
from fedsim.methods.fl_pqsu import FlPqsu
from fedsim.methods.heterofl import HeteroFl
from fedsim.methods.message_pruning import MessagePruning
from fedsim.methods.prunefl import PruneFl
from fedsim.methods.qat import QAT
from fedsim.methods.qsgd import Qsgd
from fedsim.methods.scaffold import Scaffold
from fedsim.methods.top_k import TopK

METHODS: dict[str, type[Any]] = {
    "fedavg": FedAvg,
    "fedprox": FedProx,
    "fedadam": FedAdam,
    "fedasync": FedAsync,
    "fedbuff": FedBuff,
    "scaffold": Scaffold,
    "fl-pqsu": FlPqsu,
    "heterofl": HeteroFl,
    "ds-fl": DsFl,
    "fedmd": FedMd,
    "equitable-fl": EquitableFl,
    "prunefl": PruneFl,
    "top-k": TopK,
    "qsgd": Qsgd,
    "message-pruning": MessagePruning,
    "qat": QAT,
}
