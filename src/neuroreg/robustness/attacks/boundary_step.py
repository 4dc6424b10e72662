"""One step of the Brendel-Bethge attack, solved exactly for many rows at once (Brendel et al. 2019, eq. 2).

Every function takes flat rows and solves, for each row by itself,

    min ||y - x0||_p   such that   b.(y - x) = c,   ||y - x||_2 <= r,   0 <= y <= 1.

Where box and radius keep the plane out of reach, the answer is the point in both that is nearest to it. Where
the radius does not bind, one sort gives the solution. Elsewhere it lies on a path with two multipliers
(`boundary_paths`), on which `path_search` finds it. L0 is not convex: there `pixel_support` chooses pixels,
on which the answer is the nearest in L1.

On a GPU all rows are treated alike, since the host would have to ask which of them need what. It asks once,
for the rows whose path has to be searched by bracket; what comes before takes the same kernels each time and
can be recorded.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from neuroreg.robustness.attacks.boundary_paths import L1Path, L2Path, LinfPath, Path, Problem, Start, dot
from neuroreg.robustness.attacks.path_search import (
    CHECK,
    RADIUS_TOLERANCE,
    between,
    together,
    where_length_is,
)
from neuroreg.robustness.attacks.pixel_support import support_of
from neuroreg.robustness.attacks.projections import climb, sign_of

# How a GPU is told to do the part without questions: (function, path, tensors) to what the function returns.
Run = Callable[..., tuple[Tensor, ...]]


def kernel_by_kernel(
    function: Callable[..., tuple[Tensor, ...]], path: type[Path], *tensors: Tensor
) -> tuple[Tensor, ...]:
    """Return what the function does."""
    return function(path, *tensors)


def step_l2(x: Tensor, x0: Tensor, b: Tensor, c: Tensor, r: Tensor, run: Run = kernel_by_kernel) -> Tensor:
    """Return the point nearest to `x0` in the Euclidean norm, on the plane and in radius and box.

    Parameters
    ----------
    x
        float (rows, pixels) in [0, 1], where the row is.
    x0
        float (rows, pixels) in [0, 1], the clean images.
    b
        float (rows, pixels), the boundary's normal. Where it vanishes or is not finite the row stays at `x`.
    c
        float (rows,), how far along `b` the plane is.
    r
        float (rows,), at least 0: the largest Euclidean length of the step.
    run
        How a GPU does the part without questions to it: as `neuroreg.devices.Recorded` does, or kernel by
        kernel.

    Returns
    -------
    Tensor
        (rows, pixels) of the dtype of `x`.
    """
    return _step(_solve, _all_rows, L2Path, (x, x0, b, c, r), run)


def step_l1(x: Tensor, x0: Tensor, b: Tensor, c: Tensor, r: Tensor, run: Run = kernel_by_kernel) -> Tensor:
    """Return the point nearest to `x0` in L1; parameters and constraints as in `step_l2`."""
    return _step(_solve, _all_rows, L1Path, (x, x0, b, c, r), run)


def step_linf(x: Tensor, x0: Tensor, b: Tensor, c: Tensor, r: Tensor, run: Run = kernel_by_kernel) -> Tensor:
    """Return the point nearest to `x0` in Linf; parameters and constraints as in `step_l2`.

    Among equally near points it is the one nearest to `x`.
    """
    return _step(_solve, _all_rows, LinfPath, (x, x0, b, c, r), run)


def step_l0(x: Tensor, x0: Tensor, b: Tensor, c: Tensor, r: Tensor, run: Run = kernel_by_kernel) -> Tensor:
    """Return a point that differs from `x0` in few pixels; parameters and constraints as in `step_l2`.

    `pixel_support` chooses the pixels that may differ. On them the point is the nearest to `x0` in L1, which
    empties more of them from one step to the next. Where that will not do, the pixels that differ already are
    taken, then all.
    """
    return _step(_solve_on_support, _all_rows_on_support, L1Path, (x, x0, b, c, r), run)


def _step(
    solve: Callable[[type[Path], Problem], Tensor],
    all_rows: Callable[..., tuple[Tensor, ...]],
    path: type[Path],
    rows: tuple[Tensor, ...],
    run: Run,
) -> Tensor:
    x = rows[0]
    if x.device.type == "cpu":
        problem, usable = _prepare(*rows)
        return torch.where(usable[:, None], solve(path, problem), x.double()).to(x.dtype)
    # What was recorded is written over by the next step.
    return _finish(path, _Solved(*run(all_rows, path, *rows))).to(x.dtype, copy=True)


def _prepare(x: Tensor, x0: Tensor, b: Tensor, c: Tensor, r: Tensor) -> tuple[Problem, Tensor]:
    """Return the scaled problem and which rows have a plane at all."""
    x, x0, b, c, r = (part.double() for part in (x, x0, b, c, r))
    largest = b.abs().amax(dim=1)
    usable = (largest > 1e-30) & (largest < torch.inf) & (c.abs() < torch.inf)
    b = torch.where(usable[:, None], b, 1.0) / torch.where(usable, largest, 1.0)[:, None]
    length = b.norm(dim=1)
    c = torch.where(usable, c, 0.0) / torch.where(usable, largest, 1.0) / length
    return Problem(x.clamp(0.0, 1.0), x0, b / length[:, None], c, r), usable


class _Ends(NamedTuple):
    """What the line along the normal and the norm's own solution without a radius say of each row.

    Attributes
    ----------
    solution
        (rows, pixels), feasible; where not `binding` the answer.
    binding
        bool (rows,), whether the radius binds, so that the path has to be followed.
    shortest, lam
        The first point of the path (rows, pixels) and its multiplier (rows,).
    free
        Its last point, (rows, pixels).
    """

    solution: Tensor
    binding: Tensor
    shortest: Tensor
    lam: Tensor
    free: Tensor


def _ends(path: type[Path], p: Problem) -> _Ends:
    sign = sign_of(p.c)
    line = climb(p.x, p.b, sign)
    shortest, t, meets = line.to_plane(p.c.abs())
    least = (shortest - p.x).norm(dim=1)
    within = meets & (least <= p.r)
    free = path.end(p)
    inactive = (free - p.x).norm(dim=1) <= p.r
    # On the segment from the shortest step to the solution without radius every point is on the plane.
    safe = where_length_is(p.r, p.x, shortest, free)
    solution = torch.where(within[:, None], safe, line.to_length(p.r))
    solution = torch.where((within & inactive)[:, None], free, solution)
    binding = within & ~inactive & (p.r - least > RADIUS_TOLERANCE * p.r)
    return _Ends(solution, binding, shortest, sign * t, free)


def _solve(path: type[Path], p: Problem) -> Tensor:
    """Return the answers of all rows, looking only at those that need it: for the CPU."""
    solution, binding, *ends = _ends(path, p)
    rows = binding.nonzero()[:, 0]
    if len(rows):
        p, (shortest, lam, free) = p.rows(rows), (part[rows] for part in ends)
        start = path.begin(p, shortest, lam, free)
        found, met = together(p, path, start, solution[rows], CHECK)
        left = (~met).nonzero()[:, 0]
        if len(left):
            found[left] = between(p.rows(left), path, start.rows(left), shortest[left], free[left])
        solution[rows] = found
    return solution


class _Solved(NamedTuple):
    """Feasible points of all rows, and what it takes to come closer in the rows that are `left`.

    `solution`, `x`, `x0`, `b`, `shortest` and `free` are (rows, pixels), the others (rows,).
    """

    solution: Tensor
    left: Tensor
    x: Tensor
    x0: Tensor
    b: Tensor
    c: Tensor
    r: Tensor
    outer: Tensor
    lam: Tensor
    inside: Tensor
    outside: Tensor
    shortest: Tensor
    free: Tensor


def _all_rows(path: type[Path], *rows: Tensor) -> _Solved:
    """Do what `_solve` does for all rows alike, with no question to the GPU; the longest paths are left."""
    p, usable = _prepare(*rows)
    solved = _follow_all(path, p)
    solution = torch.where(usable[:, None], solved.solution, rows[0].double())
    return solved._replace(solution=solution, left=solved.left & usable)


def _follow_all(path: type[Path], p: Problem) -> _Solved:
    solution, binding, shortest, lam, free = _ends(path, p)
    start = path.begin(p, shortest, lam, free)
    found, met = together(p, path, start, solution)
    solution = torch.where(binding[:, None], found, solution)
    problem, begun = (p.x, p.x0, p.b, p.c, p.r), (start.outer, start.lam, start.inside, start.outside)
    return _Solved(solution, binding & ~met, *problem, *begun, shortest, free)


def _finish(path: type[Path], solved: _Solved) -> Tensor:
    """Return the answers; the host waits to learn which rows are left."""
    rows = solved.left.nonzero()[:, 0]
    if len(rows):
        _, _, *problem, outer, lam, inside, outside, shortest, free = (part[rows] for part in solved)
        start = Start(outer, lam, inside, outside)
        solved.solution[rows] = between(Problem(*problem), path, start, shortest, free)
    return solved.solution


def _solve_on_support(path: type[Path], p: Problem) -> Tensor:
    """Do in L0 what `_solve` does."""
    solution = _solve(path, _on_support(p, support_of(p)))
    for choose in FURTHER:
        pending = _is_off(p, solution).nonzero()[:, 0]
        if not len(pending):
            break
        part = p.rows(pending)
        solution[pending] = _solve(path, _on_support(part, choose(part)))
    return solution


def _all_rows_on_support(path: type[Path], *rows: Tensor) -> _Solved:
    """Do in L0 what `_all_rows` does; all supports that may be needed are looked at together."""
    p, usable = _prepare(*rows)
    each = [_on_support(p, support) for support in (support_of(p), *(choose(p) for choose in FURTHER))]
    fields = [torch.cat([getattr(one, name) for one in each]) for name in ("x", "x0", "b", "c", "r")]
    solved = [part.unflatten(0, (len(each), -1)) for part in _follow_all(path, Problem(*fields))]
    off = [_is_off(p, solution) for solution in solved[0][:-1]]
    choice = torch.zeros_like(p.r, dtype=torch.int64)
    for further in reversed(off):
        choice = torch.where(further, choice + 1, 0)
    row = torch.arange(len(choice), device=choice.device)
    chosen = _Solved(*(part[choice, row] for part in solved))
    solution = torch.where(usable[:, None], chosen.solution, rows[0].double())
    return chosen._replace(solution=solution, left=chosen.left & usable)


# What else may differ from the clean image: what does already, then all.
FURTHER = (lambda p: p.away != 0, lambda p: torch.ones_like(p.x, dtype=torch.bool))


def _is_off(p: Problem, solution: Tensor) -> Tensor:
    """Return where plane or radius are not kept, bool (rows,)."""
    delta = solution - p.x
    off_plane = (dot(p.b, delta) - p.c).abs() > 1e-8
    return off_plane | (delta.norm(dim=1) > p.r * (1 + 10 * RADIUS_TOLERANCE))


def _on_support(p: Problem, support: Tensor) -> Problem:
    """Return the problem of points that differ from `x0` on `support` alone."""
    inside = torch.where(support, p.x, p.x0)
    moved = inside - p.x
    r = (p.r.square() - dot(moved, moved)).clamp(min=0.0).sqrt()
    normal = torch.where(support, p.b, 0.0)
    return Problem(inside, p.x0, normal, p.c - dot(p.b, moved), r)
