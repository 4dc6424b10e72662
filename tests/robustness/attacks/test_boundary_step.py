from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make_believe_gpu import MakeBelieveGpu
from scipy.optimize import linprog, minimize

from neuroreg.devices import Recorded
from neuroreg.robustness.attacks.boundary_paths import L1Path, L2Path, LinfPath, Problem, Start
from neuroreg.robustness.attacks.boundary_step import _ends, _prepare, step_l0, step_l1, step_l2, step_linf
from neuroreg.robustness.attacks.path_search import between, together

STEPS = {0: step_l0, 1: step_l1, 2: step_l2, np.inf: step_linf}
CONVEX = (1, 2, np.inf)


def solve(order, x, x0, b, c, r):
    tensors = (torch.as_tensor(np.asarray(part, dtype=np.float64)) for part in (x, x0, b, c, r))
    return STEPS[order](*tensors).numpy()


def random_rows(rng, rows, pixels, tail=1.0):
    """Rows of all kinds: black and white pixels, x at x0 in places, planes near, far and out of reach."""
    x0 = np.clip(rng.uniform(-0.3, 1.3, (rows, pixels)), 0, 1)
    away = rng.standard_normal((rows, pixels)) * 10.0 ** rng.uniform(-3, 0, (rows, 1))
    x = np.clip(x0 + away * (rng.random((rows, pixels)) < rng.uniform(0.2, 1, (rows, 1))), 0, 1)
    b = rng.standard_normal((rows, pixels)) * np.exp(tail * rng.standard_normal((rows, pixels)))
    b *= 10.0 ** rng.uniform(-6, 6, (rows, 1))
    r = 10.0 ** rng.uniform(-3, 0.5, rows)
    c = rng.standard_normal(rows) * r * np.linalg.norm(b, axis=1) * 10.0 ** rng.uniform(-2, 0.2, rows)
    return x, x0, b, c, r


def bisect(increasing, far):
    """Return where the function is 0 between 0 and `far`, halving the exponent first, then the value."""
    low, high = far * 1e-60, far
    while high - low > 1e-15 * high:
        middle = (low * high) ** 0.5 if high > 2 * low else (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if increasing(middle) < 0 else (low, middle)
    return high


def at(x, b, lam):
    return np.clip(x + lam * b, 0, 1)


def meet(x, b, c):
    """The point of plane and box nearest to `x`, NaN if there is none; one row, by bisection."""
    if c == 0:
        return x
    largest = np.where(b * np.sign(c) > 0, 1 - x, x) @ np.abs(b)
    if abs(c) >= largest:
        return np.full_like(x, np.nan)
    far = 1.0 / np.abs(b[b != 0]).min()
    lam = bisect(lambda t: np.sign(c) * (b @ (at(x, b, np.sign(c) * t) - x)) - abs(c), far)
    return at(x, b, np.sign(c) * lam)


def shortest(x, b, c):
    """Length of the shortest step to the plane in the box, inf if there is none."""
    length = np.linalg.norm(meet(x, b, c) - x)
    return np.inf if np.isnan(length) else length


def farthest(x, b, c, r):
    """How far along sign(c) b one comes in radius and box; one row, by bisection."""
    b = b * np.sign(c)
    corner = np.where(b > 0, 1.0, np.where(b < 0, 0.0, x))
    if np.linalg.norm(corner - x) <= r:
        return b @ (corner - x)
    far = 1.0 / np.abs(b[b != 0]).min()
    lam = bisect(lambda t: np.linalg.norm(at(x, b, t) - x) - r, far)
    return b @ (at(x, b, lam) - x)


def check(order, x, x0, b, c, r):
    """Check box, radius, and plane or, out of reach, the point nearest to it; return y, what is reachable."""
    y = solve(order, x, x0, b, c, r)
    assert y.min() >= 0
    assert y.max() <= 1
    step, length = y - x, np.linalg.norm(b, axis=1)
    assert (np.linalg.norm(step, axis=1) <= r * (1 + 2e-6)).all()
    reachable = np.array([shortest(*row) <= radius for *row, radius in zip(x, b, c, r, strict=True)])
    off = np.abs((b * step).sum(axis=1) - c) / length
    assert (off[reachable] <= 2e-9).all()
    for row in np.flatnonzero(~reachable):
        best = farthest(x[row], b[row], c[row], r[row])
        assert abs(np.sign(c[row]) * (b[row] @ step[row]) - best) <= 1e-9 * max(best, length[row] * r[row])
    return y, reachable


@pytest.mark.parametrize("order", STEPS)
@pytest.mark.parametrize(("pixels", "tail"), [(1, 0.5), (5, 1.0), (40, 1.0), (1024, 0.0), (1024, 4.0)])
def test_every_row_keeps_box_radius_and_plane(order, pixels, tail):
    rng = np.random.default_rng(pixels + int(tail))
    _, reachable = check(order, *random_rows(rng, 60 if pixels > 100 else 200, pixels, tail))
    assert reachable.any()
    assert not reachable.all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), order=st.sampled_from(list(STEPS)), tail=st.floats(0, 8))
def test_any_row_keeps_box_radius_and_plane(seed, order, tail):
    rng = np.random.default_rng(seed)
    check(order, *random_rows(rng, 4, int(rng.integers(1, 30)), tail))


def reference(order, x, x0, b, c, r, guess):
    """The smallest norm by sequential quadratic programming from several starts; inf if none is feasible."""
    n, length = len(x), np.linalg.norm(b)
    b, c = b / length, c / length
    extra = {1: n, 2: 0, np.inf: 1}[order]
    bounds = [(0, 1)] * n + [(0, None)] * extra
    matrix = np.zeros((2 * n * bool(extra), n + extra))
    offset = np.zeros(len(matrix))
    if extra:
        slack = np.eye(n) if order == 1 else np.ones((n, 1))
        matrix = np.block([[-np.eye(n), slack], [np.eye(n), slack]])
        offset = np.concatenate([x0, -x0])
    cost = np.concatenate([np.zeros(n), np.ones(extra)])

    def objective(v):
        return (((v - x0) ** 2).sum(), 2 * (v - x0)) if order == 2 else (cost @ v, cost)

    constraints = [
        {"type": "eq", "fun": lambda v: b @ (v[:n] - x) - c, "jac": lambda v: np.r_[b, np.zeros(extra)]},
        {
            "type": "ineq",
            "fun": lambda v: r**2 - ((v[:n] - x) ** 2).sum(),
            "jac": lambda v: np.r_[-2 * (v[:n] - x), np.zeros(extra)],
        },
    ]
    if extra:
        constraints.append({"type": "ineq", "fun": lambda v: matrix @ v + offset, "jac": lambda v: matrix})
    best = np.inf
    for start in (x, x0, guess):
        slacks = {1: np.abs(start - x0), 2: [], np.inf: [np.abs(start - x0).max()]}[order]
        found = minimize(
            objective,
            np.r_[start, slacks],
            jac=True,
            bounds=bounds,
            constraints=constraints,
            method="SLSQP",
            options={"maxiter": 500, "ftol": 1e-14},
        ).x[:n]
        if abs(b @ (found - x) - c) < 1e-7 and np.linalg.norm(found - x) < r + 1e-7:
            best = min(best, np.linalg.norm(np.clip(found, 0, 1) - x0, order))
    return best


@pytest.mark.parametrize("order", CONVEX)
def test_no_other_solver_comes_closer(order):
    rng = np.random.default_rng(7)
    compared = bound = 0
    for pixels in (3, 5, 8, 12):
        rows = random_rows(rng, 40, pixels)
        y, reachable = check(order, *rows)
        for row in np.flatnonzero(reachable):
            x, x0, b, c, r = (part[row] for part in rows)
            best = reference(order, x, x0, b, c, r, y[row])
            ours = np.linalg.norm(y[row] - x0, order)
            if np.isfinite(best):
                compared += 1
                bound += np.linalg.norm(y[row] - x) > r * 0.999
                assert ours <= best + 1e-6
                # The start at our solution keeps the other solver honest: it is no worse either.
                assert best <= ours + 1e-5
    assert compared > 60
    assert bound > 15


@pytest.mark.parametrize("order", [1, np.inf])
def test_without_a_radius_it_is_a_linear_program(order):
    rng = np.random.default_rng(3)
    for pixels in (4, 12, 100):
        x, x0, b, c, _ = random_rows(rng, 20, pixels)
        c = c * 0.5 ** np.arange(20)
        r = np.full(20, 2.0 * pixels**0.5)
        y, reachable = check(order, x, x0, b, c, r)
        assert reachable.sum() > 5
        for row in np.flatnonzero(reachable):
            n, extra = pixels, pixels if order == 1 else 1
            slack = -np.eye(n) if order == 1 else -np.ones((n, 1))
            unit = b[row] / np.abs(b[row]).max()
            found = linprog(
                np.r_[np.zeros(n), np.ones(extra)],
                A_ub=np.block([[np.eye(n), slack], [-np.eye(n), slack]]),
                b_ub=np.r_[x0[row], -x0[row]],
                A_eq=np.r_[unit, np.zeros(extra)][None],
                b_eq=[unit @ x[row] + c[row] / np.abs(b[row]).max()],
                bounds=[(0, 1)] * n + [(0, None)] * extra,
                method="highs",
            )
            assert found.status == 0
            assert np.linalg.norm(y[row] - x0[row], order) == pytest.approx(found.fun, rel=1e-6, abs=2e-7)


@pytest.mark.parametrize("order", CONVEX)
def test_large_rows_satisfy_the_optimality_conditions(order):
    # A solution that cannot be improved along any direction between plane, box and ball: random feasible
    # points near it are never closer to x0, and neither are those on the way to other solutions.
    rng = np.random.default_rng(5)
    x, x0, b, c, r = random_rows(rng, 12, 300)
    y, reachable = check(order, x, x0, b, c, r)
    for other in CONVEX:
        z, _ = check(other, x, x0, b, c, r)
        for share in (0.01, 0.1, 1.0):
            point = y + share * (z - y)
            gain = np.linalg.norm(y - x0, order, axis=1) - np.linalg.norm(point - x0, order, axis=1)
            assert (gain[reachable] <= 2e-6).all()
    for row in np.flatnonzero(reachable):
        for _ in range(50):
            start = np.clip(y[row] + rng.standard_normal(300) * 10.0 ** rng.uniform(-4, -1), 0, 1)
            point = meet(start, b[row], c[row] - b[row] @ (start - x[row]))
            if np.linalg.norm(point - x[row]) <= r[row]:
                closest = np.linalg.norm(y[row] - x0[row], order)
                assert np.linalg.norm(point - x0[row], order) >= closest - 2e-6


def fewest_pixels(x, x0, b, c, r):
    """The smallest support with which plane, radius and box can be met, by trying all."""
    for count in range(len(x) + 1):
        for support in combinations(range(len(x)), count):
            inside = np.isin(np.arange(len(x)), support)
            left = r**2 - ((x0 - x)[~inside] ** 2).sum()
            gap = c - b[~inside] @ (x0 - x)[~inside]
            if left < 0:
                continue
            if not count:
                if abs(gap) < 1e-12:
                    return 0
            elif shortest(x[inside], b[inside], gap) <= left**0.5:
                return count
    raise AssertionError


def test_l0_is_mostly_the_smallest_support_there_is():
    rng = np.random.default_rng(11)
    excess = []
    for pixels in (3, 6, 9):
        rows = random_rows(rng, 60, pixels)
        y, reachable = check(0, *rows)
        for row in np.flatnonzero(reachable):
            best = fewest_pixels(*(part[row] for part in rows))
            excess.append((y[row] != rows[1][row]).sum() - best)
    excess = np.array(excess)
    assert len(excess) > 60
    assert excess.min() >= 0
    assert (excess == 0).mean() > 0.9
    assert excess.max() <= 1


def test_l0_without_a_radius_takes_the_steepest_pixels():
    # The smallest support is then known: pixels in the order of what their way to the edge gains.
    rng = np.random.default_rng(2)
    x0, b = np.clip(rng.uniform(-0.3, 1.3, (30, 200)), 0, 1), rng.standard_normal((30, 200))
    b[rng.random((30, 200)) < 0.2] = 0
    x = np.clip(x0 + 0.1 * rng.standard_normal((30, 200)), 0, 1)
    c = rng.uniform(0, 50, 30) + (b * (x0 - x)).sum(axis=1)
    y, reachable = check(0, x, x0, b, c, np.full(30, 100.0))
    assert reachable.all()
    gap = c - (b * (x0 - x)).sum(axis=1)
    gains = -np.sort(-np.abs(b) * np.where(b > 0, 1 - x0, x0), axis=1)
    assert np.array_equal((y != x0).sum(axis=1), (gains.cumsum(axis=1) < gap[:, None]).sum(axis=1) + 1)


@pytest.mark.parametrize("order", STEPS)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_out_of_reach_it_goes_towards_the_plane_and_no_further_than_the_radius(order, sign):
    rng = np.random.default_rng(0)
    x, x0, b, _, _ = random_rows(rng, 20, 64, tail=3.0)
    r = np.full(20, 0.3)
    y, reachable = check(order, x, x0, b, sign * 1e3 * np.linalg.norm(b, axis=1), r)
    assert not reachable.any()
    np.testing.assert_allclose(np.linalg.norm(y - x, axis=1), r, rtol=1e-9)
    assert (sign * b * (y - x) >= 0).all()
    # With a radius that holds the whole box, the answer is a corner.
    corner, _ = check(order, x, x0, b, sign * 1e3 * np.linalg.norm(b, axis=1), np.full(20, 9.0))
    np.testing.assert_allclose(corner, np.where(sign * b > 0, 1.0, 0.0), atol=1e-12)


@pytest.mark.parametrize("order", STEPS)
def test_degenerate_rows_have_an_answer(order):
    rng = np.random.default_rng(4)
    x0, x, b = rng.random((8, 16)), rng.random((8, 16)), rng.standard_normal((8, 16))
    c, r = np.full(8, 0.1), np.full(8, 0.5)
    b[0] = 0
    b[1, 3] = np.nan
    c[2] = np.inf
    c[3] = 0
    x[4] = x0[4]
    x[5], c[5] = x0[5], 0
    r[6] = 0
    x0[7], x[7] = np.round(x0[7]), np.round(x0[7])
    y = solve(order, x, x0, b, c, r)
    for row in (0, 1, 2, 6):
        assert np.array_equal(y[row], x[row])
    assert np.array_equal(y[5], x0[5])
    good = [3, 4, 7]
    check(order, *(part[good] for part in (x, x0, b, c, r)))
    # Normals of one pixel, of equal ones, of some as good as zero.
    b = np.zeros((3, 16))
    b[0, 2], b[1], b[2], b[2, :4] = -3.0, 1.0, 1e-40, 1.0
    y, reachable = check(order, x[:3], x0[:3], b, np.array([0.2, 0.2, -0.2]), np.full(3, 0.5))
    assert reachable.all()


@pytest.mark.parametrize("order", STEPS)
def test_rows_do_not_know_of_each_other(order):
    rng = np.random.default_rng(9)
    rows = random_rows(rng, 30, 100)
    whole = solve(order, *rows)
    backwards = solve(order, *(part[::-1].copy() for part in rows))[::-1]
    alone = np.concatenate([solve(order, *(part[row : row + 1] for part in rows)) for row in range(30)])
    np.testing.assert_allclose(backwards, whole, rtol=0, atol=1e-9)
    np.testing.assert_allclose(alone, whole, rtol=0, atol=1e-9)
    assert np.array_equal(whole, solve(order, *rows))


@pytest.mark.parametrize("order", STEPS)
def test_float32_pixels_that_need_no_change_are_exactly_clean(order):
    rng = np.random.default_rng(6)
    rows = [torch.as_tensor(part, dtype=torch.float32) for part in random_rows(rng, 30, 100)]
    y = STEPS[order](*rows)
    assert y.dtype == torch.float32
    assert y.min() >= 0
    assert y.max() <= 1
    if order in (0, 1):
        assert ((y == rows[1]).sum(dim=1) > 0).float().mean() > 0.5


@pytest.mark.parametrize("order", STEPS)
@pytest.mark.parametrize("pixels", [12, 300])
def test_a_gpu_which_drops_no_rows_takes_the_same_steps(order, pixels):
    rows = random_rows(np.random.default_rng(pixels), 60, pixels)
    with MakeBelieveGpu():
        y = STEPS[order](*(torch.as_tensor(part).to("cuda") for part in rows)).cpu().numpy()
    expected, reachable = check(order, *rows)
    assert reachable.sum() > 20
    assert 0 <= y.min() <= y.max() <= 1
    x, x0, b, c, r = rows
    assert (np.linalg.norm(y - x, axis=1) <= r * (1 + 2e-6)).all()
    off = np.abs((b * (y - x)).sum(axis=1) - c) / np.linalg.norm(b, axis=1)
    assert (off[reachable] <= 2e-9).all()
    distance, wanted = (np.linalg.norm(z - x0, order, axis=1) for z in (y, expected))
    np.testing.assert_allclose(distance, wanted, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("order", STEPS)
def test_what_a_gpu_has_recorded_does_for_other_rows_what_its_kernels_do(order):
    with MakeBelieveGpu() as gpu:
        recorded, launched = Recorded(), []
        for seed in (0, 1, 2):
            rows = [torch.as_tensor(part) for part in random_rows(np.random.default_rng(seed), 60, 40)]
            rows = [part.to("cuda") for part in rows]
            given = [part.clone() for part in rows]
            expected = STEPS[order](*rows)
            gpu.take()
            found = STEPS[order](*rows, recorded)
            launched.append(gpu.take().launches)
            assert torch.equal(found, expected)
            assert all(torch.equal(*pair) for pair in zip(rows, given, strict=True))
    assert [counts["graph"] for counts in launched] == [1, 1, 1]
    assert launched[1].total() < launched[0].total() / 2


@pytest.mark.parametrize("path", [L1Path, L2Path, LinfPath])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_bracket_alone_finds_what_steps_of_both_multipliers_find(path, device):
    # Rows that need no bracket, so that two ways lead to their answers.
    order = {L1Path: 1, L2Path: 2, LinfPath: np.inf}[path]
    x, x0, b, c, r = (torch.as_tensor(part) for part in random_rows(np.random.default_rng(8), 300, 50))
    p, _ = _prepare(x, x0, b, c, r)
    _, binding, shortest, lam, free = _ends(path, p)
    rows = binding.nonzero()[:, 0]
    p, shortest, free = p.rows(rows), shortest[rows], free[rows]
    start = path.begin(p, shortest, lam[rows], free)
    expected, met = together(p, path, start, torch.zeros_like(p.x))
    assert met.sum() > 30
    with MakeBelieveGpu():
        parts = (p.x, p.x0, p.b, p.c, p.r, start.outer, start.lam, start.inside, start.outside)
        parts = [part.to(device) for part in (*parts, shortest, free)]
        y = between(Problem(*parts[:5]), path, Start(*parts[5:9]), *parts[9:]).cpu()
    assert (torch.linalg.vecdot(p.b, y - p.x) - p.c).abs().max() < 1e-12
    np.testing.assert_allclose((y - p.x).norm(dim=1), p.r, rtol=1e-9)
    distance, wanted = (torch.linalg.vector_norm(z - p.x0, order, dim=1) for z in (y, expected))
    np.testing.assert_allclose(distance[met], wanted[met], rtol=1e-6, atol=1e-6)
