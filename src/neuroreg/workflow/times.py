"""How many minutes a job may need, from the sizes in the config: what a scheduler is asked for.

Counted are images that pass through the ResNet forward and backward, and steps, whose cost besides does not
depend on their size. Costs are those of one thread of Zen 4 and Zen 5 processors, with room for processors
half as fast; those of a GPU are assumed, slower than measured (docs/gpu.md).
"""

from collections.abc import Iterable, Mapping
from math import ceil

from neuroreg.robustness.attacks.registry import complete_setting
from neuroreg.robustness.cpu_rows import ROWS_ON_CPU
from neuroreg.workflow.grid import by_name

# Imports over a network file system, compilation, waiting for other users of the node.
START = 10
# Of what is expected, the asked.
MARGIN = 2
# Relative to the ResNet18. Another network is taken for as dear as the ResNet34.
DEPTH = {"resnet18": 1.0}
DEEPER = 2.1
# A stimulus of 36x64 counts 2.25 images, a pair twice as many.
IMAGES_IN_A_PAIR = 4.5
# Of a recorded scan, whose numbers are not known before it is read: more than the public ones have.
TRIALS, NEURONS = 7000, 8500
# A fit ends by itself, in most cases after 30 to 60.
EPOCHS_OF_A_FIT = 100
# Passes, forward and backward ones counted apart, of searches that end long before their bound: three times
# as many as in the default run.
_EARLY = {"jsma": 1000, "sparsefool": 200}
# Other classes whose gradients are asked for to put targets in order, of ten; bisections where no setting
# has their number; values of epsilon that a warm start's PGD tries.
_OTHERS, _BISECTIONS, _WARM_EPSILONS = 9, 10, 10
# Of an attack of the user's own whose settings have no such name.
_STEPS = 1000


def minutes(seconds: float) -> int:
    """Return the minutes to ask for where `seconds` of work are expected."""
    return START + ceil(MARGIN * seconds / 60)


def _image(config: Mapping) -> float:
    """Return the seconds of a pass of one image, forward and backward."""
    size = (config["network"]["width"] / 64) ** 2 * DEPTH.get(config["network"]["architecture"], DEEPER)
    # 3.34 GFLOP at width 64: 110 GFLOP/s of a thread, 10 TFLOP/s of a GPU. Narrow layers are less efficient.
    return 3.4e-4 * size if config["device"] == "cuda" else 1e-3 + 0.031 * size


def _step(config: Mapping) -> float:
    """Return the seconds of a step of training or of an attack besides."""
    return 0.025 if config["device"] == "cuda" else 0.01


def training(config: Mapping, target: bool, images: int) -> int:
    """Return the minutes of a training.

    Parameters
    ----------
    config
        A valid config.
    target
        Whether the model shares a similarity.
    images
        Training images, those held out included.
    """
    recipe = config["training"]
    pairs = recipe["pairs_per_step"] if target else 0
    steps = recipe["epochs"] * images / recipe["batch_size"]
    each = recipe["batch_size"] + IMAGES_IN_A_PAIR * pairs
    return minutes(steps * (each * _image(config) + _step(config)))


def passes(attack: Mapping) -> float:
    """Return how many passes, forward and backward ones, all settings of an attack take for one row.

    At most; of JSMA and SparseFool, whose bound says nothing, three times what they took in the default run.
    """
    method = attack["method"].removeprefix("foolbox_")
    if method in _EARLY:
        return _EARLY[method] * len(attack["settings"])
    return sum(_bound(method, complete_setting(attack["method"], setting)) for setting in attack["settings"])


def _bound(method: str, setting: Mapping) -> int:
    """Return how many passes a setting takes at most, a step being one forward and one backward."""
    along = 2 * setting.get("steps", _STEPS)
    match method:
        case "pgd" | "adam_pgd":
            return setting["search_steps"] * (along + 1)
        case "carlini_wagner":
            return setting["binary_search_steps"] * along + setting["bisections"]
        case "ddn":
            return along + setting["bisections"]
        case "apgd_t_l2" | "apgd_t_linf":
            return 1 + _OTHERS + setting["search_steps"] * (along + 2 + _BISECTIONS)
        case "fab_l1" | "fab_l2" | "fab_linf":
            return (setting["steps"] + 1) * (1 + setting["targets"]) + setting["steps"] + _BISECTIONS
        case "warm_brendel_bethge_l2":
            return 2 * setting["start_steps"] + _BISECTIONS + along + 1
        case "warm_brendel_bethge_linf":
            return _WARM_EPSILONS * (2 * setting["start_steps"] + 1) + along + 1
    # Along the boundary, sigma-zero, PDPGD.
    return along + _BISECTIONS + 1


def search(config: Mapping, attacks: Iterable[Mapping]) -> int:
    """Return the minutes of a job of searches with some attacks; where these are split, of one part."""
    adversarial = config["adversarial"]
    rows = ceil(adversarial["samples"] / adversarial["parts"]) * adversarial["repetitions"]
    total = sum(map(passes, attacks))
    at_once = adversarial["batch_size"]
    batches = ceil(rows / (ROWS_ON_CPU if at_once == "auto" else at_once))
    return minutes(total / 2 * (rows * _image(config) + batches * _step(config)))


def fit(config: Mapping, scan: str) -> int:
    """Return the minutes of a response model's fit."""
    entry, model = by_name(config["scans"], scan), config["response_model"]
    trials, neurons = TRIALS, entry.get("n_neurons", NEURONS)
    if entry["source"] == "simulated":
        stimuli, repeats = config["stimuli"], config["simulator"]["oracle_repeats"]
        trials = (stimuli["pool_size"] or TRIALS) + stimuli["oracle_size"] * repeats
    channels, first, other = model["channels"], model["input_kernel"], model["hidden_kernel"]
    # Multiplications and additions, forward and backward, on a map of 18x32.
    core = 6 * 576 * (first**2 * channels + 2 * other**2 * channels**2)
    readout = 6 * 4 * 3 * channels * neurons
    speed, step = (5e12, 0.025) if config["device"] == "cuda" else (2e10, 0.005)
    epochs = min(model["max_epochs"], EPOCHS_OF_A_FIT)
    return minutes(epochs * trials * ((core + readout) / speed + step / model["batch_size"]))


def noise(config: Mapping, images: int) -> int:
    """Return the minutes of a model's evaluation under noise on so many test images."""
    forward = images * config["noise"]["draws"] * len(config["noise"]["sigmas"])
    # A third of the arithmetic of forward and backward.
    return minutes(forward * _image(config) / 3)
