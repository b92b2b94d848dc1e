"""The interpolator against the stored stages."""

import pytest
import torch

from stages.infer.sonic.nets.rife import FlowNet
from tests.sonic.public import DTYPES, RIFE_FILE, assert_close, loaded, stored


def flownet(dtype: torch.dtype) -> FlowNet:
    return loaded(FlowNet(), RIFE_FILE, dtype, prefix="module.", without="block_tea")


@pytest.mark.parametrize("dtype", DTYPES)
def test_midpoint_matches_the_stored_one(dtype: torch.dtype) -> None:
    midpoint = flownet(dtype)(stored("rife.img0", dtype), stored("rife.img1", dtype))
    assert_close(midpoint.picture, "f64.rife_mid")
    assert_close(midpoint.flow, "f64.rife_flow")
    assert_close(midpoint.weight, "f64.rife_mask")


def test_batch_of_both_directions_equals_single_pairs() -> None:
    net = flownet(torch.float64)
    a, b = stored("rife.img0", torch.float64)[..., :32, :48], stored("rife.img1", torch.float64)[..., :32, :48]
    both, forward = net(torch.cat([a, b]), torch.cat([b, a])), net(a, b)
    torch.testing.assert_close(both.picture[:1], forward.picture, rtol=0, atol=1e-12)
    torch.testing.assert_close(both.picture[1:], forward.picture, rtol=0, atol=1e-12)
    torch.testing.assert_close(both.weight[1:], 1 - forward.weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float16, 0.01), (torch.bfloat16, 0.05)])
def test_half_precision_is_close(dtype: torch.dtype, allowed: float) -> None:
    net = flownet(dtype)
    a, b = stored("rife.img0")[..., :32, :48], stored("rife.img1")[..., :32, :48]
    midpoint = net(a, b)
    assert midpoint.picture.dtype == midpoint.flow.dtype == torch.float32
    worst = (midpoint.picture - flownet(torch.float32)(a, b).picture).abs().max().item()
    print(f"{dtype}: worst difference {worst:.4f}")
    assert worst < allowed


def test_sides_must_be_multiples_of_16() -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        FlowNet()(torch.zeros(1, 3, 32, 40), torch.zeros(1, 3, 32, 40))


def test_official_network_has_120_tensors() -> None:
    with torch.device("meta"):
        net = FlowNet()
    assert len(net.state_dict()) == 120, "the file has 160: a fourth block is for training only"
