from neuroreg.workflow.grid import by_name, condition_models, conditions_note, target_file


def test_the_papers_conditions_are_told_by_their_targets(config):
    assert condition_models(config) == {"None": "none", "Shuffle": "shuffle", "Neural": "neural"}


def test_the_first_of_several_counts_and_an_absent_one_is_left_out(config):
    config["conditions"]["models"] = ["one_scan_a8", "neural", "none"]
    assert condition_models(config) == {"Neural": "one_scan_a8", "None": "none"}


def test_each_training_seed_has_a_shuffle_of_its_own_unless_one_is_kept(config):
    targets = config["targets"]
    assert target_file(targets, "shuffle", 2) == "results/similarity/shuffle/seed2.h5"
    assert target_file(targets, "neural", 2) == "results/similarity/neural.h5"
    next(target for target in targets if target["name"] == "shuffle")["permutation"] = "one"
    assert target_file(targets, "shuffle", 2) == "results/similarity/shuffle.h5"


def test_what_each_condition_is_is_told(config):
    config["targets"] += [
        {"name": "edges", "kind": "given", "path": "edges.h5"},
        {"name": "vgg", "kind": "features"},
        {"name": "raw", "kind": "raw", "scans": ["simulated1"]},
    ]
    config["models"] += [
        {"name": "edges", "target": "edges", "alpha": 0.5},
        {"name": "vgg", "target": "vgg", "alpha": 20.0},
        {"name": "raw", "target": "raw", "alpha": 20.0},
        {"name": "mine", "path": "mine{seed}.pt2"},
    ]
    config["conditions"]["models"] += ["edges", "vgg", "raw", "mine"]
    alpha = by_name(config["models"], "neural")["alpha"]
    assert conditions_note(config) == (
        "``none``: trained without a similarity to share; "
        f"``shuffle``: alpha {alpha:g}, the similarity of 3 scans, denoised, of shuffled images; "
        f"``neural``: alpha {alpha:g}, the similarity of 3 scans, denoised; "
        "``edges``: alpha 0.5, a similarity brought along; "
        "``vgg``: alpha 20, the similarity in VGG19; "
        "``raw``: alpha 20, the similarity of 1 scan as measured in single trials; "
        "``mine``: trained elsewhere."
    )
