"""Values: models, data, training, compression, evaluation. Never imports simpy or sees a clock."""

from fedsim.learn.models import build_model

__all__ = ["build_model"]
