"""A real Slurm of two virtual nodes on the loopback interface, for as long as a test needs it.

Slurm's clients find a cluster by `/etc/slurm/slurm.conf` alone, since the executor's jobs drop `SLURM_CONF`.
The file is written here and removed again; where one stands already, a cluster is in use and left alone.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scontrol")
CONFIG = Path("/etc/slurm")
# As on clusters, limits of memory and time hold. Jobs are remembered, since there is no accounting. Nodes
# have more cores and memory than the machine, for several jobs at once; n2 has two "GPUs".
SETTINGS = """\
ClusterName=virtual
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=5,bf_interval=5
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
MinJobAge=900
KillWait=10
ReturnToService=2
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=4 RealMemory=16000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=4 RealMemory=16000 Gres=gpu:2
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=120
"""
GPUS = "AutoDetect=off\nNodeName=n2 Name=gpu File=/dev/null,/dev/zero\n"


def missing() -> str | None:
    """Why no cluster can be started here; None once it can. Installs Debian's packages if possible."""
    if os.geteuid() != 0:
        return "only root can start a Slurm"
    if (CONFIG / "slurm.conf").exists():
        return f"{CONFIG}/slurm.conf is there: a cluster is in use"
    if not any(map(_lacks, PROGRAMS)):
        return None
    if _lacks("apt-get"):
        return "Slurm is not installed, and there is no apt-get"
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
    for command in (install, ["apt-get", "update"], install):
        done = subprocess.run(
            command,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if not any(map(_lacks, PROGRAMS)):
            return None
    return f"Slurm could not be installed: {done.stdout.strip().splitlines()[-1:]}"


def _lacks(program: str) -> bool:
    return shutil.which(program) is None


@contextmanager
def running() -> Iterator[None]:
    """A cluster; what was started is stopped, by process id, at the end."""
    with TemporaryDirectory(dir="/tmp", prefix="slurm-") as folder:
        Path(folder).chmod(0o755)  # or munge takes its socket to be out of reach
        with _running(Path(folder)):
            yield


@contextmanager
def _running(folder: Path) -> Iterator[None]:
    host = socket.gethostname().partition(".")[0]
    controller, first, second = _free_ports(3)
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    CONFIG.mkdir(exist_ok=True)
    settings = {
        "slurm.conf": SETTINGS.format(
            folder=folder, host=host, controller=controller, first=first, second=second
        ),
        "gres.conf": GPUS,
    }
    with ExitStack() as stack:
        for name, text in settings.items():
            path = CONFIG / name
            with path.open("x") as file:  # never over a file that is there
                file.write(text)
            stack.callback(path.unlink)
        files = {"socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log"}
        options = [f"--{option}={folder / name}" for option, name in files.items()]
        seed = f"--seed-file={folder / 'munge.seed'}"
        _start(stack, folder, ["munged", "--foreground", f"--key-file={key}", seed, *options])
        _wait(lambda: (folder / "munge.socket").exists(), "munged", folder)
        _start(stack, folder, ["slurmctld", "-D", "-i"])
        for node in ("n1", "n2"):
            _start(stack, folder, ["slurmd", "-D", "-N", node])
        idle = ("sinfo", "--noheader", "--Node", "--states=idle", "--format=%N")
        _wait(lambda: len(ask(*idle).split()) == 2, "the nodes", folder)
        yield


def ask(*command: str) -> str:
    """What one of Slurm's commands prints; nothing if it fails."""
    return subprocess.run(command, capture_output=True, text=True).stdout


def _start(stack: ExitStack, folder: Path, command: list[str]) -> None:
    log = stack.enter_context((folder / f"{command[0]}.{command[-1]}.out".replace("/", "_")).open("w"))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    stack.callback(_stop, process)


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(ready, what: str, folder: Path) -> None:
    limit = time.monotonic() + 60
    while not ready():
        if time.monotonic() > limit:
            logs = "\n".join(f"{path}:\n{path.read_text()[-2000:]}" for path in folder.glob("*.[lo][ou][gt]"))
            raise RuntimeError(f"{what} did not start:\n{logs}")
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
