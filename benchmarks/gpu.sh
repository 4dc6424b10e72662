#!/usr/bin/env bash
# What only a GPU can show, each stage with a limit of time; docs/gpu.md keeps what came out.
#
#     benchmarks/gpu.sh FOLDER [STAGE...] [-- ARGUMENT...]
#
# Without a STAGE: tests, training, search, study, which the same command goes on with once it was interrupted. So
# it all ends within 25 minutes:
#
#     timeout --signal=INT 1500 benchmarks/gpu.sh FOLDER
#
#     tests       the tests marked gpu, several at a time
#     smoke       the whole workflow in small, every stage on the GPU
#     training    a training step at the paper's size: plain loop, eager, compiled
#     shared      the same steps from several processes at once: what one GPU gives to jobs that share it
#     search      the search beside Foolbox's loops
#     study       configs/study.yaml at the paper's width, with the ARGUMENTs passed to Snakemake
#
# FOLDER takes a log for each stage and the study's results. PYTHON names the interpreter, JOBS how many jobs
# share the GPU. A stage that fails does not keep the next from running; the exit code tells.
set -uo pipefail
cd "$(dirname "$0")/.."
(($#)) || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 2; }
python=${PYTHON:-python3}
jobs=${JOBS:-8}
cores=$(env -u OMP_NUM_THREADS nproc) # which that variable would limit
out=$(mkdir -p "$1" && cd "$1" && pwd) && shift
stages=()
while (($#)) && [[ $1 != -- ]]; do
  stages+=("$1") && shift
done
(($#)) && shift
((${#stages[@]})) || stages=(tests training search study)
export PYTHONPATH=$PWD/src${PYTHONPATH:+:$PYTHONPATH} OMP_NUM_THREADS=1
status=0

workflow() { # folder of the results, further arguments
  local folder=$1 && shift
  "$python" -m snakemake --directory "$folder" --cores "$cores" --scheduler greedy \
    --resources gpu="$jobs" mem_mb=100000 --quiet rules host "$@"
}

step() { timeout 240 "$python" benchmarks/training.py --device cuda --width 64 --threads 1 "$@"; }

run_tests() {
  local several=()
  "$python" -c 'import xdist' 2>/dev/null && several=(-n "$jobs")
  timeout 300 "$python" -m pytest -q -m gpu "${several[@]}" -p no:cacheprovider tests
}

run_smoke() { workflow "$out/smoke" --configfile configs/smoke.yaml --config device=cuda; }

run_training() {
  step --steps 200
  step --steps 200 --ways bfloat16-compiled float32-compiled
}

run_shared() {
  local count
  for count in 1 4 "$jobs"; do
    echo "$count at once:"
    for ((i = 0; i < count; i++)); do
      step --steps 1000 --ways bfloat16 | grep 'ms a step' &
    done
    wait
  done
}

run_search() {
  # Ours and Foolbox's short ones take less than a minute; its Brendel & Bethge, last, compiles as long for each norm.
  timeout 300 "$python" benchmarks/attacks.py --device cuda --threads 4 --width 64 --samples 250 --repetitions 1 \
    --steps 30 --batch 250 --foolbox-batch 250 --one-process
}

run_study() { workflow "$out/study" --configfile configs/study.yaml configs/gpu.yaml "$@"; }

for stage in "${stages[@]}"; do
  started=$SECONDS
  echo "== $stage"
  "run_$stage" "$@" 2>&1 | tee --ignore-interrupts "$out/$stage.log" || { status=1 && echo "== $stage failed"; }
  echo "== $stage: $((SECONDS - started)) s"
done
exit $status
