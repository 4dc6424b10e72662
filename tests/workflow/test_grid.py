from neuroreg.workflow.grid import condition_models, target_file


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
