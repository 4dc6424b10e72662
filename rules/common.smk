import h5py

from neuroreg.errors import InputError, on_terminal
from neuroreg.files.refusals import refusal
from neuroreg.images.settings import SHOWN
from neuroreg.robustness.attacks.registry import find_method
from neuroreg.robustness.cpu_rows import ROWS_ON_CPU
from neuroreg.training.settings import NETWORKS
from neuroreg.workflow import times
from neuroreg.workflow.captions import noted
from neuroreg.workflow.config import check_files, validate_config
from neuroreg.workflow.digests import code_digest
from neuroreg.workflow.grid import (
    Labels,
    by_name,
    condition_models,
    conditions_note,
    entry_names,
    grid_runs,
    model_file,
    network_file,
    simulation_note,
    target_file,
    trained_elsewhere,
)
from neuroreg.workflow.inputs import brought, check_copies, check_times, content_of, replaced_download
from neuroreg.workflow.screen import closing, failing, opening, ways
from neuroreg.workflow.sizes import compare_sizes, read_paper
from neuroreg.workflow.slurm import Watch
from neuroreg.workflow.status import status_line
from neuroreg.workflow.start import check_place, check_python, end_on_sigterm
from neuroreg.workflow.yaml_checks import check_text

try:
    check_python(sys.executable)
    check_place(BASE)
    for path in [BASE / "config.yaml", *workflow.config_settings.configfiles]:
        check_text(path)
    validate_config(config)
    check_files(config)
    if workflow.is_main_process:
        check_times(config)
        # Before jobs ask for it: what cannot be read is told here.
        for one in brought(config):
            content_of(config, one.key, one.path)
        check_copies(config)
except InputError as error:
    sys.exit(f"Error: {error}{ways(str(error))}")
except OSError as error:
    sys.exit(f"Error: {on_terminal(refusal(error))}")

ENVIRONMENT = "../envs/neuroreg.yaml"
GPU = int(config["device"] == "cuda")
# Of which a job takes one. A resource, since another choice of GPUs shall rerun nothing.
DEVICES = ",".join(map(str, config["devices"]))
SWEEP = grid_runs(config["sweep"])
CONDITIONS = grid_runs(config["conditions"])
ALL_RUNS = list(dict.fromkeys([*SWEEP, *CONDITIONS]))
# Networks of the user's, and those that are trained here.
ELSEWHERE = [entry["name"] for entry in config["models"] if trained_elsewhere(entry)]
TRAINED = [name for name in entry_names(config["models"]) if name not in ELSEWHERE]
TRAINED_RUNS = [run for run in ALL_RUNS if run.model in TRAINED]
# The condition without a regulariser, or the first; the others are compared with it.
REFERENCE = condition_models(config).get("None", config["conditions"]["models"][0])
SCANS = entry_names(config["scans"])
TARGETS = entry_names(config["targets"])
ATTACKS = entry_names(config["adversarial"]["attacks"])
PARTS = config["adversarial"]["parts"]
TOGETHER = config["adversarial"]["together"] and PARTS == 1
TIGHTENING = entry_names(config["adversarial"]["tightening"])
SIMULATED = [scan["name"] for scan in config["scans"] if scan["source"] == "simulated"]
DOWNLOADED = [scan["name"] for scan in config["scans"] if scan["source"] == "download"]
NOTE = simulation_note(config["scans"])
CONDITIONS_NOTE = conditions_note(config)


wildcard_constraints:
    scan="|".join(SCANS),
    target="|".join(TARGETS),
    model="|".join(entry_names(config["models"])),
    attack="|".join([*ATTACKS, *TIGHTENING]),
    seed=r"\d+",
    part=r"\d+",


WIDTH = config["network"]["width"]
NETWORK_MODULE, _ = NETWORKS[config["network"]["architecture"]]
# Megabytes of host memory that a job on a GPU needs besides, and a training whose step is compiled there.
CUDA_MEMORY = 1500 * GPU
COMPILER_MEMORY = 1500 * GPU * config["training"]["compile"]
BATCH_SIZE = config["adversarial"]["batch_size"]
ROWS = ROWS_ON_CPU if BATCH_SIZE == "auto" else BATCH_SIZE


# Of the two Snakemakes and srun that a job on a cluster consists of besides, as measured.
SNAKEMAKE = 350
MAX_MEGABYTES, MAX_MINUTES = config["cluster"]["max_megabytes"], config["cluster"]["max_minutes"]


def asked(megabytes, attempt):
    """Megabytes to ask for; a job that was killed asks for as many again at each retry, up to the limit."""
    # Only an executor that sends jobs elsewhere has a number of jobs; asked when the jobs are known.
    elsewhere = workflow.resource_settings.nodes is not None
    megabytes = int(attempt * (megabytes + SNAKEMAKE * elsewhere))
    return megabytes if MAX_MEGABYTES is None else min(megabytes, MAX_MEGABYTES)


def more_each_try(megabytes):
    """Megabytes that a job needs, as measured."""
    return lambda wildcards, attempt: asked(megabytes, attempt)


def by_neurons(fixed, each):
    """Megabytes that a job on one scan needs: fixed ones and some for each neuron."""

    def megabytes(wildcards, attempt):
        neurons = by_name(config["scans"], wildcards.scan).get("n_neurons", times.NEURONS)
        return asked(fixed + each * neurons, attempt)

    return megabytes


def by_pool(fixed, each_pair, file, each_image=0.0):
    """Megabytes that a job on the pool of stimuli needs: fixed ones and some for each image and pair.

    How many images the pool has, if the config does not say, is known once the job's `file`, a function of
    its input, is there. A training without a target has no pool.
    """

    def megabytes(wildcards, input, attempt):
        path = file(input)
        images = (config["stimuli"]["pool_size"] or images_in(path)) if path else 0
        return asked(fixed + each_image * images + each_pair * images**2, attempt)

    return megabytes


def by_network(fixed, each):
    """Megabytes that a job on a network of the user's needs: fixed ones and some for each of its file."""

    def megabytes(wildcards, attempt):
        size = os.path.getsize(own_network(wildcards)["path"]) / 1e6
        return asked(fixed + each * size, attempt)

    return megabytes


def longer_each_try(expected):
    """Minutes that a job asks for: a number, or a function of wildcards and input; more at each retry."""

    def minutes(wildcards, input, attempt):
        longer = attempt * (expected(wildcards, input) if callable(expected) else expected)
        return longer if MAX_MINUTES is None else min(longer, MAX_MINUTES)

    return minutes


def images_of(part, input):
    """How many images to classify there are to train on or to test with, once they are there."""
    return length_of(input.data, f"{part}/labels")


def images_in(path):
    """How many images' keys a file of stimuli, responses or similarity holds."""
    return 0 if path is None else length_of(path, "key")


def length_of(path, dataset):
    """How long a dataset of a file is; 0 of a damaged file, of which the job itself says what is wrong."""
    # Snakemake asks again later if it is told which file is missing; h5py does not say.
    os.stat(path)
    try:
        with h5py.File(path) as file:
            return len(file[dataset])
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        return 0


def code(rule_name, *loaded):
    """A param: digest of the statements that a rule's script reaches, read where the rule has a job.

    Of the networks' modules that is the one of the config's architecture, and none where the network is the user's.
    """

    def digest(wildcards):
        built = getattr(wildcards, "model", None) not in ELSEWHERE
        by_name = {"neuroreg.training.architectures": f"neuroreg.training.{NETWORK_MODULE}"} if built else {}
        return code_digest(BASE / "workflow_scripts" / f"{rule_name}.py", *loaded, by_name=by_name)

    return digest


def run_files(pattern, grid):
    """One path for each run of a grid."""
    return [pattern.format(model=run.model, seed=run.seed) for run in grid]


def run_table(grid):
    """What a figure needs to know of each run, in the order of `run_files`."""
    return [
        {"model": run.model, "seed": run.seed, "alpha": by_name(config["models"], run.model).get("alpha")}
        for run in grid
    ]


def made(wildcards, output):
    """What a job has noted for captions; no cause to rerun it, as functions of output are none."""
    return noted(output.made)


def without(section, *keys):
    """A section of the config less what decides no result: where a file lies, of whose content there is a digest."""
    return {key: value for key, value in section.items() if key not in keys}


def content(key):
    """A param: digest of what the config names under `key`, nothing if that is none of the user's.

    What users bring is no input of a rule: Snakemake would go by its time stamp, which copies may keep, and
    would take braces in its path for wildcards.
    """
    return lambda wildcards: content_of(config, key)


def entry_content(section, name, key, path=None):
    """Likewise of a key of the entry of this name in a list of the config; of several files the one at path."""
    index = entry_names(config[section]).index(name)
    return content_of(config, f"{section}[{index}].{key}", path)


def recorded_scan(wildcards):
    """Path and content of the user's own scan; nothing for others, which are made here."""
    path = by_name(config["scans"], wildcards.scan).get("path")
    return path and {"path": path, "content": entry_content("scans", wildcards.scan, "path")}


def raw_scan(wildcards):
    """The simulated scan, or the record of where a download lies; nothing for the user's own."""
    scan = by_name(config["scans"], wildcards.scan)
    if scan["source"] == "recorded":
        return []
    folder, suffix = ("simulated_scans", "h5") if scan["source"] == "simulated" else ("downloads", "json")
    return f"results/{folder}/{wildcards.scan}.{suffix}"


def download(wildcards):
    """What is downloaded, and where to."""
    scan = by_name(config["scans"], wildcards.scan)
    return {key: scan.get(key) for key in ("url", "file", "sha256")} | config["downloads"]


def network(wildcards):
    """The file of the classifier of a run."""
    return model_file(config["models"], wildcards.model, wildcards.seed)


def own_network(wildcards):
    """Path and content of the user's own network."""
    path = network_file(by_name(config["models"], wildcards.model), wildcards.seed)
    return {"path": path, "content": entry_content("models", wildcards.model, "path", path)}


def model_target(wildcards):
    """The similarity that a model of a seed shares; nothing for the unregularised one."""
    target = by_name(config["models"], wildcards.model)["target"]
    if target is None:
        return []
    return [target_file(config["targets"], target, wildcards.seed), "results/stimuli.h5"]


def shuffle_names(wildcards):
    """What a permutation is drawn by: the target's name, and the training seed if it has one of its own."""
    return list(Path(wildcards.shuffle).parts)


def attacks(wildcards):
    """The entries in the config of the attacks that a job searches with: one, or all of them."""
    entries = [*config["adversarial"]["attacks"], *config["adversarial"]["tightening"]]
    return entries if TOGETHER else [by_name(entries, wildcards.attack)]


def per_part(path):
    """Where a search writes: the path itself, or one for each part if searches are split."""
    stem, suffix = path.rsplit(".", 1)
    return path if PARTS == 1 else f"{stem}.part{{part}}.{suffix}"


def per_search(path):
    """Where a job of searches writes what it has one of: a log."""
    return f"{Path(path).parent}{Path(path).suffix}" if TOGETHER else per_part(path)


def search_outputs(path):
    """The files of a job of searches.

    Those of all attacks stay where they are when it starts: it makes only what has changed. An output for each
    part is deleted once the parts are joined.
    """
    if TOGETHER:
        return [update(file) for file in expand(path, attack=[*ATTACKS, *TIGHTENING], allow_missing=True)]
    return path if PARTS == 1 else temp(per_part(path))


def tightened(wildcards):
    """The distances of attacks that are set beside the paper's; before anything runs, that there are none."""
    if not TIGHTENING:
        raise WorkflowError(
            "config key 'adversarial.tightening': no attacks; expected entries, of which configs/tightening.yaml has some."
        )
    return "results/distances.csv"


def attack_module(entry):
    """The module that an attack is loaded from."""
    return f"neuroreg.robustness.attacks.{find_method(entry['method']).module}"
