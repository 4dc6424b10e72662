"""What is told of jobs on a Slurm, from what its own commands print; tests/cluster asks a real one."""

import pytest

from neuroreg.workflow.slurm import parse, sentence

OVER = "slurmstepd-n1: error: StepId=4.0 exceeded memory limit (559194112 > 524288000), being killed"
GROUP = (
    "slurmstepd: error: Detected 1 oom_kill event in StepId=4.0. Some of the step tasks have been OOM Killed."
)


def told(state, reason, log=""):
    line = f"4|{state}|{reason}|2-00:00:00|500M|rule_fit_baselines_wildcards_scan1|/home/a|b\n"
    (job,) = parse("no job\n" + line)
    assert job.folder == "/home/a|b"
    return sentence(job, log)


@pytest.mark.parametrize(
    ("reason", "key"),
    [
        ("PartitionTimeLimit", "cluster.max_minutes"),
        ("QOSMaxWallDurationPerJobLimit", "cluster.max_minutes"),
        ("AssocMaxWallDurationPerJobLimit", "cluster.max_minutes"),
        ("MaxMemPerLimit", "cluster.max_megabytes"),
        ("QOSMaxMemoryPerJob", "cluster.max_megabytes"),
        ("BadConstraints", "the resources or the partition"),
        ("InvalidAccount", "the resources or the partition"),
        ("QOSMaxGRESPerJob", "the resources or the partition"),
    ],
)
def test_what_can_never_start_is_told_with_the_reason_and_a_remedy(reason, key):
    text = told("PENDING", reason)
    assert f"Slurm job 4 (fit_baselines scan1) can't start, Slurm says {reason}: " in text
    assert key in text


@pytest.mark.parametrize(
    "reason",
    [
        "Priority",
        "Resources",
        "None",
        "Dependency",
        "BeginTime",
        "ReqNodeNotAvail",
        "QOSGrpCpuLimit",
        "AssocGrpMemLimit",
        "QOSMaxJobsPerUserLimit",
        "QOSMaxCpuPerUserLimit",
        "QOSMaxMemoryPerUser",
    ],
)
def test_what_only_waits_is_not(reason):
    assert told("PENDING", reason) is None


def test_kills_are_told_for_what_they_are():
    for state, log in (("OUT_OF_MEMORY", ""), ("FAILED", OVER), ("FAILED", GROUP)):
        assert "was killed for memory, it had asked for 500M" in told(state, "NonZeroExitCode", log)
    assert "when its time was over, 2-00:00:00" in told("TIMEOUT", "TimeLimit")
    for state in ("FAILED", "COMPLETED", "RUNNING", "CANCELLED"):
        assert told(state, "None", "a bug") is None
