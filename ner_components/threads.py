"""What torch needs to know of `nlp.pipe(n_process=2)`."""

import os
from functools import cache


@cache
def use_one_thread_after_fork() -> None:
    """Let forked workers compute in one thread.

    A worker inherits OpenMP's pool without its threads and would wait for them for ever;
    one thread needs no pool, and a core per worker is what the caller asked for.
    """
    import torch

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
