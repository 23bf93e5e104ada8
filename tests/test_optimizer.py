"""`ner_components.FusedAdam.v1` against thinc's own `Adam.v1`, and against torch's."""

import numpy
import pytest
import spacy
import torch
from thinc.api import Adam, Config, warmup_linear

from ner_components.optimizer import make_fused_adam

SHAPES = [(7,), (30, 40), (2, 3, 5)]
SETTINGS = [
    {},
    {"use_averages": False},
    {"L2": 0.01, "use_averages": False},
    {"L2": 0.01, "L2_is_weight_decay": False},
    {"grad_clip": 0.0, "beta1": 0.8, "beta2": 0.99, "eps": 1e-4},
]


def gradients(shape, steps=40):
    """Small and large ones: some are clipped, and eps counts in some."""
    random = numpy.random.default_rng(1)
    for i in range(steps):
        yield (random.normal(size=shape) * 10.0 ** (i % 5 - 4)).astype("float32")


def learn(optimizer, shape, **options):
    weights = numpy.random.default_rng(0).normal(size=shape).astype("float32")
    for gradient in gradients(shape):
        weights, gradient = optimizer((0, "W"), weights, gradient, **options)
        assert not gradient.any()
        optimizer.step_schedules()
    return weights


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_it_learns_what_thincs_learns(shape, settings):
    rates = [warmup_linear(0.01, 10, 50) for _ in range(2)]
    theirs, ours = Adam(rates[0], **settings), make_fused_adam(rates[1], **settings)
    wanted, found = (learn(x, shape, lr_scale=0.5) for x in (theirs, ours))
    assert numpy.abs(wanted - learn(Adam(0.0), shape)).max() > 0.01
    numpy.testing.assert_allclose(found, wanted, atol=2e-6)
    for name in ("mom1", "mom2", "averages"):
        mine, thincs = getattr(ours, name), getattr(theirs, name)
        if thincs is None:
            assert mine is None
            continue
        numpy.testing.assert_allclose(
            mine[(0, "W")], thincs[(0, "W")], rtol=1e-4, atol=1e-6
        )


def test_it_learns_what_torchs_learns():
    """Without clipping and decay, and with an eps that is nothing beside the gradients.
    40 steps of 0.01; 5e-5 is what rounding makes of a moment that is nearly nothing."""
    weights = numpy.random.default_rng(0).normal(size=(30, 40)).astype("float32")
    parameter = torch.nn.Parameter(torch.from_numpy(weights.copy()))
    theirs = torch.optim.Adam([parameter], lr=0.01, eps=1e-12)
    for gradient in gradients((30, 40)):
        parameter.grad = torch.from_numpy(gradient)
        theirs.step()
    ours = make_fused_adam(0.01, eps=1e-12, grad_clip=0.0)
    found = learn(ours, (30, 40))
    numpy.testing.assert_allclose(found, parameter.detach().numpy(), atol=5e-5)


def test_weights_of_a_layer_are_changed_where_they_are():
    weights = numpy.ones((3, 4), dtype="float32")
    gradient = numpy.full((3, 4), 0.5, dtype="float32")
    changed, _ = make_fused_adam(0.1, use_averages=False)((0, "W"), weights, gradient)
    assert numpy.shares_memory(changed, weights)
    # The first step is the learn rate, whatever the gradient.
    numpy.testing.assert_allclose(weights, 0.9, rtol=1e-6)


def test_a_view_that_is_not_contiguous_comes_back_changed():
    weights = numpy.ones((3, 4), dtype="float32").T
    gradient = numpy.full((4, 3), 0.5, dtype="float32")
    changed, _ = make_fused_adam(0.1, use_averages=False)((0, "W"), weights, gradient)
    numpy.testing.assert_allclose(changed, 0.9, rtol=1e-6)


def test_no_gradient_is_no_step():
    empty = numpy.zeros((0, 4), dtype="float32")
    weights, _ = make_fused_adam(0.1)((0, "W"), empty, empty)
    assert weights.shape == (0, 4)


def test_a_config_can_name_it():
    config = Config().from_str(
        """
        [optimizer]
        @optimizers = "ner_components.FusedAdam.v1"
        L2 = 0.01

        [optimizer.learn_rate]
        @schedules = "warmup_linear.v1"
        initial_rate = 0.1
        warmup_steps = 2
        total_steps = 4
        """
    )
    optimizer = spacy.registry.resolve(config)["optimizer"]
    rates = []
    for _ in range(4):
        rates.append(optimizer.learn_rate)
        optimizer.step_schedules()
    assert rates == [0.0, 0.05, 0.1, 0.05]
