from neuroreg.workflow.grid import condition_models


def test_the_papers_conditions_are_told_by_their_targets(config):
    assert condition_models(config) == {"None": "none", "Shuffle": "shuffle", "Neural": "neural"}


def test_the_first_of_several_counts_and_an_absent_one_is_left_out(config):
    config["conditions"]["models"] = ["one_scan_a8", "neural", "none"]
    assert condition_models(config) == {"Neural": "one_scan_a8", "None": "none"}
