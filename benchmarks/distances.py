"""Attacks side by side on the same images: mean distance, share found, passes and CPU seconds.

    python benchmarks/distances.py MODEL.safetensors [...] CLASSIFICATION.h5 TABLE [--images 32] [--keep KEPT]

TABLE is one of those below, `attacks` (each of our attacks), `choices` (a setting or a step of an attack with
and without) or `adv_lib` (ours beside https://github.com/jeromerony/adversarial-library at as many passes;
`--adv-lib FOLDER` is a checkout of it), or a config with `adversarial: {attacks: ...}`, such as
configs/untrimmed.yaml. One thread of a CPU; images in proportion to the classes among those that the model
gets right; float32; every distance is verified by `verify`, adv-lib's too. Columns: the mean distance in the
attack's own norm, as `told_mean` has it, the number of images for which an adversarial was found, passes of
an image, forward and backward, CPU seconds of this process, and the means in all norms. adv-lib's passes are
counted at the model.

What is measured is kept in KEPT, one line of JSON each, and is not measured again. Of several models each has
its table. `--trim TOLERANCE ...` and `--choose PASSES ...` also say which settings make a smaller list, for
all models together, as adversarial.trim_tolerance and adversarial.trim_passes do in the workflow (but of all
repetitions together), `--compare CONFIG ...` what the whole grids of other configs cost and find, so far as
their settings have been measured, and `--curve FILE.png` draws the mean against passes, a row for each model,
settings in the order of what they lower it by for each pass.
"""

import argparse
import hashlib
import json
import sys
import time
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from means import told_mean
from torch import Tensor, nn

from neuroreg.analysis.smaller_lists import choose, first_of_each, trim
from neuroreg.figures.latex import NORM_LABELS
from neuroreg.figures.style import new_figure, style
from neuroreg.files.records import read_record
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.attack_result import NORMS
from neuroreg.robustness.attacks.registry import attack_methods, complete_setting, find_method
from neuroreg.robustness.evaluation import predict, to_input
from neuroreg.robustness.largest import largest_distances
from neuroreg.robustness.minimal_distance import choose_samples, search
from neuroreg.robustness.verification import verify
from neuroreg.training.checkpoints import load_model

CPU = torch.device("cpu")
SEED, BATCH = 1, 64
SHORT_CW = {"binary_search_steps": 6, "steps": 200, "stepsize": 0.01, "initial_const": 1.0}
BOUNDARY = {"steps": 300}
FEW = {"apgd_t_l2": {"steps": 20}, "apgd_t_linf": {"steps": 20}}
ONES = {"carlini_wagner": SHORT_CW} | FEW
INF = float("inf")
ADV_NORMS = {"l0": 0, "l1": 1, "l2": 2, "linf": INF}

# Method and setting; "adv_lib" before a name: its function and arguments, and the norm it is scored in.
TABLES = {
    "attacks": [
        (name, BOUNDARY if name.startswith("brendel_bethge") else ONES.get(name, {}))
        for name in attack_methods()
        if not name.startswith("foolbox_")
    ],
    "choices": [
        *(("carlini_wagner", SHORT_CW | {"bisections": n}) for n in (0, 10)),
        ("carlini_wagner", SHORT_CW | {"box": 0.999999}),
        ("carlini_wagner", SHORT_CW | {"checks": 0}),
        *(("ddn", {"steps": steps, "bisections": n}) for steps in (100, 105, 110) for n in (0, 10)),
        ("ddn", {"steps": 115, "bisections": 0}),
        *(("pgd", {"search_steps": n, "rel_stepsize": 0.25}) for n in (10, 12, 14, 20)),
        *(("jsma", {"targets": n}) for n in (1, 9)),
        *(("jsma", {"targets": n, "theta": 1.0}) for n in (1, 9)),
        *(("sparsefool", {"lambda": factor}) for factor in (1.0, 3.0)),
    ],
    "seconds": [
        *(
            ("brendel_bethge_l0", BOUNDARY | {"radius": radius, "momentum": momentum})
            for radius, momentum in ((0.16, 0.8), (1.0, 0.8), (0.16, 0.0), (1.0, 0.0), (0.016, 0.0))
        ),
        ("carlini_wagner", SHORT_CW | {"binary_search_steps": 9, "steps": 100}),
        *(("adam_pgd", {"steps": steps, "rel_stepsize": 0.25}) for steps in (40, 200)),
    ],
    "adv_lib": [
        ("sigma_zero", {"steps": 1000}),
        ("adv_lib sigma_zero l0", {"num_steps": 1000}),
        ("pdpgd", {"steps": 1000}),
        ("adv_lib pdpgd l1", {"num_steps": 1005}),
        ("ddn", {"steps": 100}),
        ("adv_lib ddn l2", {"steps": 105, "levels": None}),
        ("ddn", {"steps": 1000}),
        ("adv_lib ddn l2", {"steps": 1005, "levels": None}),
        ("warm_brendel_bethge_l2", {}),
        ("adv_lib fmn l2", {"steps": 165}),
        ("warm_brendel_bethge_linf", {}),
        ("adv_lib fmn linf", {"steps": 200}),
        ("fab_linf", {}),
        ("adv_lib fab linf", {"n_iter": 100}),
        ("apgd_t_linf", FEW["apgd_t_linf"]),
        (
            "adv_lib minimal_apgd linf",
            {"max_eps": 0.05, "n_iter": 20, "binary_search_steps": 14, "targeted_version": True},
        ),
    ],
}


class Counted(nn.Module):
    """`model`, counting the images that pass through it, forward and backward."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.passes = model, 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes)."""
        logits = self.model(x)
        self.passes += len(x)
        if logits.requires_grad:
            logits.register_hook(lambda gradient: self._back(len(gradient)))
        return logits

    def _back(self, n: int) -> None:
        self.passes += n


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="+")
    parser.add_argument("data", type=Path)
    parser.add_argument("table", help=f"{', '.join(TABLES)} or a config")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--logit-margin", type=float, help="as adversarial.logit_margin; not for adv-lib's")
    parser.add_argument("--attacks", nargs="+", help="only these methods")
    parser.add_argument("--keep", type=Path, help="results, one line of JSON each; what is there is not run")
    parser.add_argument("--adv-lib", type=Path, help="a checkout of adversarial-library, unless installed")
    parser.add_argument("--trim", nargs="+", type=float, default=[], help="tolerances, such as 0.01")
    parser.add_argument(
        "--choose", nargs="+", type=float, default=[], help="passes of an image, all repetitions"
    )
    parser.add_argument("--curve", type=Path, help="where to draw the mean against passes")
    parser.add_argument("--compare", nargs="+", type=Path, default=[], help="configs")
    return parser.parse_args()


def entries(arguments: argparse.Namespace) -> list[tuple[str, dict]]:
    """Return the methods and settings that the table names."""
    chosen = TABLES[arguments.table] if arguments.table in TABLES else grid(Path(arguments.table))
    return [each for each in chosen if not arguments.attacks or each[0] in arguments.attacks]


def grid(path: Path) -> list[tuple[str, dict]]:
    """Return the methods and settings of a config."""
    config = yaml.safe_load(path.read_text(encoding="utf-8"))["adversarial"]
    lists = config.get("attacks", []) + config.get("tightening", [])
    return [(attack["method"], setting) for attack in lists for setting in attack["settings"]]


def ours(model: nn.Module, data: tuple, method: str, setting: dict, **options: Any) -> tuple[dict, Tensor]:
    """Return the smallest verified distance of each image, by norm, and the passes it took in all."""
    chosen, images, labels = data
    result = search(
        model,
        images,
        labels,
        chosen,
        method=method,
        settings=[setting],
        **options,
        seed=SEED,
        batch_size=BATCH,
        device=CPU,
    )
    return {norm: result.distance[norm].min(axis=(0, 1)) for norm in NORMS}, result.passes.sum(axis=(0, 1))


def adv_libs(model: nn.Module, data: tuple, function: str, norm: str, setting: dict) -> tuple[dict, Tensor]:
    """Return the same for adv-lib's `function`; its passes are the mean over images."""
    # It imports these for plots and progress bars, which are not asked for here.
    for name, member in (("visdom", "Visdom"), ("tqdm", "tqdm")):
        try:
            import_module(name)
        except ModuleNotFoundError:
            sys.modules[name] = module_from_spec(ModuleSpec(name, None))
            setattr(sys.modules[name], member, object)
    import adv_lib.attacks
    from adv_lib.attacks.auto_pgd import minimal_apgd

    attack = minimal_apgd if function == "minimal_apgd" else getattr(adv_lib.attacks, function)
    chosen, images, labels = data
    x, y, counted = to_input(images[chosen]), torch.from_numpy(labels[chosen]), Counted(model)
    told = {"norm": ADV_NORMS[norm]} if function in ("pdpgd", "fmn", "fab", "minimal_apgd") else {}
    torch.manual_seed(SEED)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    found = attack(model=counted, inputs=x, labels=y, **told, **setting).detach()
    passes = np.full(len(x), counted.passes / len(x))
    distance = verify(model, x, y, found[:, None], batch_size=BATCH, device=CPU).distance
    return {each: distance[each].numpy().reshape(len(x)) for each in NORMS}, passes


def measure(arguments: argparse.Namespace, model: nn.Module, data: tuple, method: str, setting: dict) -> dict:
    """Return one line of the results."""
    begun = time.process_time()
    if method.startswith("adv_lib "):
        _, function, norm = method.split()
        distance, passes = adv_libs(model, data, function, norm, setting)
    else:
        norm = find_method(method).norm
        options = {"repetitions": arguments.repetitions, "logit_margin": arguments.logit_margin}
        distance, passes = ours(model, data, method, setting, **options)
    return {
        "norm": norm,
        "distance": {
            each: [None if np.isinf(one) else float(one) for one in distance[each]] for each in NORMS
        },
        "passes": float(np.mean(passes)),
        "cpu": time.process_time() - begun,
    }


def show(method: str, setting: dict, line: dict, largest: dict[str, np.ndarray]) -> None:
    """Print a row of the table; `largest` as `largest_distances`."""
    means = {norm: told_mean(np.array(line["distance"][norm], dtype=float), largest[norm]) for norm in NORMS}
    found = sum(one is not None for one in line["distance"][line["norm"]])
    told = json.dumps(setting).replace('"', "").strip("{}")
    print(
        f"| `{method}` | {told} | {line['norm']} | {means[line['norm']]} | {found} of "
        f"{len(line['distance']['l2'])} | {line['passes']:,.0f} | {line['cpu']:.0f} | "
        f"{means['l0']} | {means['l1']} | {means['l2']} | {means['linf']} |",
        flush=True,
    )


def show_smaller(
    chosen: list[tuple[str, dict]],
    models: list[list[dict]],
    largest: list[dict],
    arguments: argparse.Namespace,
) -> None:
    """Print which settings `trim` keeps on all models, the first of each attack among them, and `choose`."""
    distance = {norm: np.concatenate([failing(lines, norm) for lines in models], axis=1) for norm in NORMS}
    group = np.repeat(np.arange(len(models)), distance["l2"].shape[1] // len(models))
    found = np.isfinite(distance["l2"]).any(axis=0)
    distance = {norm: each[:, found] for norm, each in distance.items()}
    groups = dict.fromkeys(NORMS, group[found])
    passes = np.mean([[line["passes"] for line in lines] for lines in models], axis=0)
    methods = [method for method, _ in chosen]
    first = first_of_each(methods)
    farthest = {norm: np.concatenate([each[norm] for each in largest])[found] for norm in NORMS}
    filled = {norm: np.where(np.isfinite(each), each, farthest[norm]) for norm, each in distance.items()}
    norms = {method: line["norm"] for method, line in zip(methods, models[0], strict=True)}
    lists = {f"kept at {each:g}": trim(distance, groups, first, passes, each) for each in arguments.trim}
    lists |= {
        f"chosen for {most:,.0f} passes": choose(filled, groups, methods, norms, passes, most)
        for most in arguments.choose
    }
    for title, kept in lists.items():
        print(f"\n{title}: {kept.sum()} of {len(kept)}, {passes[kept].sum():,.0f} passes")
        for norm, each in filled.items():
            own = [each[:, group[found] == model] for model in range(len(models))]
            rises = [some[kept].min(axis=0).mean() / some.min(axis=0).mean() - 1 for some in own]
            print(f"  {norm} above that of all settings: {', '.join(f'{rise:.2%}' for rise in rises)}")
        for (method, setting), stays in zip(chosen, kept, strict=True):
            if stays:
                print(f"  {method} {json.dumps(setting)}")


def failing(lines: list[dict], norm: str) -> np.ndarray:
    """Return (T, S) as `distances`, but inf where no adversarial was found."""
    values = distances(lines, norm)
    return np.where(np.isnan(values), np.inf, values)


def distances(lines: list[dict], norm: str) -> np.ndarray:
    """Return (T, S) of T settings and S images, NaN where no adversarial was found."""
    return np.array([line["distance"][norm] for line in lines], dtype=float)


def closest(lines: list[dict], norm: str) -> float:
    """Return the mean over images of the smallest distance that any setting found."""
    return float(np.nanmin(distances(lines, norm), axis=0).mean())


def spent(lines: list[dict]) -> float:
    """Return the passes of all settings together, for an image."""
    return sum(line["passes"] for line in lines)


def show_grid(name: str, lines: list[dict], asked: int) -> None:
    """Print what a grid costs and finds."""
    means = {norm: closest(lines, norm) for norm in NORMS}
    print(
        f"{name}: {len(lines)} of {asked} settings measured, {spent(lines):,.0f} "
        f"passes, {sum(line['cpu'] for line in lines):.0f} CPU s, "
        + ", ".join(f"{norm} {mean:.5f}" for norm, mean in means.items())
    )


def greedy(distance: np.ndarray, passes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return cumulative passes and means, (T,) each, the setting next that lowers the mean most per pass.

    `distance` is (T, S), failures inf. An image that is not reached counts as its largest distance found.
    """
    worst = np.where(np.isfinite(distance), distance, -np.inf).max(axis=0)
    closest, left, order = worst, list(range(len(distance))), []
    means = []
    while left:
        gains = [(closest - np.minimum(closest, distance[one])).mean() / passes[one] for one in left]
        # Where none lowers it, the cheapest.
        best = int(np.argmax(gains)) if max(gains) > 0 else int(np.argmin(passes[left]))
        order.append(left.pop(best))
        closest = np.minimum(closest, distance[order[-1]])
        means.append(closest.mean())
    return np.cumsum(passes[order]), np.array(means)


def draw_curves(
    path: Path, names: list[str], models: list[list[dict]], grids: list[dict[str, list[dict]]]
) -> None:
    """Draw the mean against passes under each norm, a row for each model, and where whole grids stand."""
    with style([]):
        fig = new_figure(2, 0.4 + 1.5 * len(models))
        rows = fig.subplots(len(models), 4, squeeze=False)
        for axes, lines, of_model in zip(rows, models, grids, strict=True):
            for ax, norm in zip(axes, NORM_LABELS, strict=True):
                distance = failing(lines, norm)
                passes, means = greedy(distance, np.array([line["passes"] for line in lines]))
                ax.step(passes, means, where="post", color="0.4")
                for marker, (name, of_grid) in zip("os^", of_model.items(), strict=False):
                    ax.plot(
                        spent(of_grid),
                        closest(of_grid, norm),
                        marker,
                        label=name,
                        markersize=5,
                        fillstyle="none",
                    )
                top = 1.1 * means[-1]
                ax.set_xscale("log")
                ax.set_xlim(0.7 * passes[means <= top][0], 1.4 * passes[-1])
                ax.set_ylim(0.99 * means[-1], top)
        for ax, title in zip(rows[0], NORM_LABELS.values(), strict=True):
            ax.set_title(title)
        for ax, name in zip(rows[:, 0], names, strict=True):
            ax.set_ylabel(name)
        fig.supxlabel("Passes", fontsize=8)
        fig.supylabel("Mean minimal distance", fontsize=8)
        if grids[0]:
            fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    fig.savefig(path, dpi=200)


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    if arguments.adv_lib:
        sys.path.insert(0, str(arguments.adv_lib))
    data = read_record(arguments.data, ClassificationData)
    kept = {}
    if arguments.keep and arguments.keep.exists():
        lines = map(json.loads, arguments.keep.read_text(encoding="utf-8").splitlines())
        kept = {json.dumps(line["key"]): line for line in lines}
    measured, grids, largest = zip(
        *(run(arguments, path, data, kept) for path in arguments.model), strict=True
    )
    if arguments.trim or arguments.choose:
        show_smaller(entries(arguments), list(measured), list(largest), arguments)
    if arguments.curve:
        names = ["/".join(path.parts[-3:-1]) for path in arguments.model]  # of results/models/NAME/SEED/FILE
        draw_curves(arguments.curve, names, list(measured), list(grids))


def run(
    arguments: argparse.Namespace, path: Path, data: ClassificationData, kept: dict[str, dict]
) -> tuple[list[dict], dict[str, list[dict]], dict[str, np.ndarray]]:
    """Measure one model; return its lines, those of the grids to compare, and `largest_distances`.

    What is new goes into `kept`.
    """
    images, labels = data.test_images, data.test_labels
    model = load_model(path).eval()
    logits = predict(model, to_input(images), batch_size=250, device=CPU)
    right = (logits.argmax(dim=1).numpy() == labels).nonzero()[0]
    chosen = right[choose_samples(labels[right], arguments.images, seed=SEED)]
    largest = largest_distances(images[chosen])
    digest = hashlib.sha256(path.read_bytes() + chosen.tobytes()).hexdigest()
    if len(arguments.model) > 1:
        print(f"\n{path}\n")
    print("| attack | setting | norm | mean | found | passes | CPU s | L0 | L1 | L2 | Linf |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)

    def name(method: str, setting: dict) -> list:
        foreign = method.startswith("adv_lib ")
        told = setting if foreign else complete_setting(method, setting)
        seen = [] if foreign or arguments.logit_margin is None else [arguments.logit_margin]
        return [digest, method, told, arguments.repetitions, *seen]

    lines = []
    for method, setting in entries(arguments):
        key = name(method, setting)
        line = kept.get(json.dumps(key))
        if line is None:
            line = {"key": key} | measure(arguments, model, (chosen, images, labels), method, setting)
            if arguments.keep:
                with arguments.keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            kept[json.dumps(key)] = line
        lines.append(line)
        show(method, setting, line, largest)
    grids = {}
    for config in arguments.compare:
        asked = [json.dumps(name(*each)) for each in grid(config)]
        grids[config.stem] = [kept[each] for each in asked if each in kept]
        show_grid(str(config), grids[config.stem], len(asked))
    return lines, grids, largest


if __name__ == "__main__":
    main()
