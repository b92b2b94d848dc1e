"""The interpolator against the stored stages."""

import pytest
import torch

from stages.infer.sonic.nets.rife import FlowNet
from tests.sonic.public import DTYPES, RIFE_FILE, assert_close, loaded, stored


def flownet(dtype: torch.dtype) -> FlowNet:
    return loaded(FlowNet(), RIFE_FILE, dtype, prefix="module.", without="block_tea")


@pytest.mark.parametrize("dtype", DTYPES)
def test_midpoint(dtype: torch.dtype) -> None:
    found = flownet(dtype)(stored("rife.img0", dtype), stored("rife.img1", dtype))
    assert_close(found.picture, "f64.rife_mid")
    assert_close(found.flow, "f64.rife_flow")
    assert_close(found.weight, "f64.rife_mask")


def test_two_pairs_at_once_and_backwards() -> None:
    net = flownet(torch.float64)
    a, b = stored("rife.img0", torch.float64)[..., :32, :48], stored("rife.img1", torch.float64)[..., :32, :48]
    both, forth = net(torch.cat([a, b]), torch.cat([b, a])), net(a, b)
    torch.testing.assert_close(both.picture[:1], forth.picture, rtol=0, atol=1e-12)
    torch.testing.assert_close(both.picture[1:], forth.picture, rtol=0, atol=1e-12)
    torch.testing.assert_close(both.weight[1:], 1 - forth.weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float16, 0.01), (torch.bfloat16, 0.05)])
def test_half_precision(dtype: torch.dtype, allowed: float) -> None:
    net = flownet(dtype)
    a, b = stored("rife.img0")[..., :32, :48], stored("rife.img1")[..., :32, :48]
    found = net(a, b)
    assert found.picture.dtype == found.flow.dtype == torch.float32
    worst = (found.picture - flownet(torch.float32)(a, b).picture).abs().max().item()
    print(f"{dtype}: worst difference {worst:.4f}")
    assert worst < allowed


def test_sides_that_do_not_halve() -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        FlowNet()(torch.zeros(1, 3, 32, 40), torch.zeros(1, 3, 32, 40))


def test_official_size() -> None:
    with torch.device("meta"):
        net = FlowNet()
    assert len(net.state_dict()) == 120, "the file has 160: a fourth block served training alone"
