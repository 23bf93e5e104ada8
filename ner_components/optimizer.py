"""`ner_components.FusedAdam.v1`: thinc's `Adam.v1`, computed by torch in one pass."""

from typing import Any, Tuple

from thinc.api import Optimizer
from thinc.optimizers import ADAM_DEFAULTS, FloatOrSeq, KeyT
from thinc.types import FloatsXd

from .errors import Errors

try:
    import torch
    from torch.optim.adam import adam
except ImportError as e:
    raise ImportError(Errors.N050.format(package=e.name)) from e


def make_fused_adam(
    learn_rate: FloatOrSeq = ADAM_DEFAULTS["learn_rate"],
    *,
    L2: FloatOrSeq = ADAM_DEFAULTS["L2"],
    beta1: FloatOrSeq = ADAM_DEFAULTS["beta1"],
    beta2: FloatOrSeq = ADAM_DEFAULTS["beta2"],
    eps: FloatOrSeq = ADAM_DEFAULTS["eps"],
    grad_clip: FloatOrSeq = ADAM_DEFAULTS["grad_clip"],
    L2_is_weight_decay: bool = True,
    use_averages: bool = True,
) -> Optimizer:
    """Make an optimizer with the settings and the results of thinc's `Adam.v1` (Kingma
    and Ba, 2015; weight decay as in Loshchilov and Hutter, 2019). torch reads and writes
    each weight and its moments once, in as many threads as it has; thinc does so several
    times, in one thread.

    learn_rate, L2, beta1, beta2, eps, grad_clip, L2_is_weight_decay, use_averages: see
        thinc's documentation of `Adam`.
    RETURNS (Optimizer): The optimizer.
    """
    return FusedAdam(
        learn_rate,
        L2=L2,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        grad_clip=grad_clip,
        L2_is_weight_decay=L2_is_weight_decay,
        use_averages=use_averages,
    )


class FusedAdam(Optimizer):
    """See `make_fused_adam`."""

    def _adam(
        self,
        ops: Any,
        weights: FloatsXd,
        gradient: FloatsXd,
        lr_scale: float,
        key: KeyT,
        nr_upd: int,
    ) -> Tuple[FloatsXd, FloatsXd]:
        """RETURNS (Tuple[FloatsXd, FloatsXd]): Weights and gradient, changed in place as
        far as they are contiguous."""
        for moments in (self.mom1, self.mom2):
            if key not in moments:
                moments[key] = ops.alloc1f(weights.size)
        flat = [ops.reshape1f(x, x.size) for x in (weights, gradient)]
        # The same memory, on a GPU too.
        w, g, mom1, mom2 = (
            torch.from_dlpack(x) for x in (*flat, self.mom1[key], self.mom2[key])
        )
        adam(
            [w],
            [g],
            [mom1],
            [mom2],
            [],
            [torch.tensor(nr_upd - 1.0, device=w.device)],
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=self.b1,
            beta2=self.b2,
            lr=self.learn_rate * lr_scale,
            weight_decay=0.0,  # thinc's own, after the step
            # torch adds it to what thinc has divided by this already.
            eps=self.eps / (1.0 - self.b2**nr_upd) ** 0.5,
        )
        return tuple(ops.reshape_f(x, weights.shape) for x in flat)
