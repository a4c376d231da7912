"""The forms that repeat are checked against torch's own, values and gradients."""

import pytest
import torch
import torch.nn.functional as F

from fna.nn.repeatable import cross_entropy_by_sums, upsample_by_matrices


@pytest.mark.parametrize(("before", "after"), [((3, 5), (9, 13)), ((4, 4), (1, 7)), ((1, 6), (5, 6)), ((7, 7), (3, 2))])
def test_products_with_matrices_are_bilinear_interpolation(before: tuple[int, int], after: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *before, dtype=torch.float64, requires_grad=True)
    ours, theirs = upsample_by_matrices(x, after), F.interpolate(x, after, mode="bilinear", align_corners=True)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    weights = torch.randn_like(theirs)
    mine, other = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (ours, theirs))
    torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)


def test_half_precision_is_interpolated_in_single_and_stays_half() -> None:
    x = torch.randn(1, 2, 5, 5).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        ours = upsample_by_matrices(x, (33, 33))
    assert ours.dtype == torch.bfloat16
    exact = F.interpolate(x.float(), (33, 33), mode="bilinear", align_corners=True)
    torch.testing.assert_close(ours, exact.bfloat16())


@pytest.mark.parametrize("weighted", [False, True])
def test_sums_are_the_mean_of_cross_entropy(weighted: bool) -> None:
    logits = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 4, (2, 3, 5))
    labels[0, 1:] = 255
    weight = torch.tensor([0.5, 2.0, 0.0, 1.5], dtype=torch.float64) if weighted else None
    ours, theirs = (
        cross_entropy_by_sums(logits, labels, weight, 255),
        F.cross_entropy(logits, labels, weight, ignore_index=255),
    )
    torch.testing.assert_close(ours, theirs)
    mine, other = (torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs))
    torch.testing.assert_close(mine, other)


def test_without_a_label_the_loss_is_not_a_number_and_its_gradient_where_unused_is_nothing() -> None:
    logits = torch.randn(1, 2, 2, 2, requires_grad=True)
    loss = cross_entropy_by_sums(logits, torch.full((1, 2, 2), 255), None, 255)
    assert loss.isnan()
    torch.where(torch.tensor(True), torch.zeros_like(loss), loss).backward()
    assert not logits.grad.any()
