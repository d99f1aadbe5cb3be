#!/bin/bash
# One training on several GPUs and nodes of SLURM.
#
#   sbatch slurm-train.sh CONFIG DATA OUT [options of `bigkingxxl train`]
#
# Two minutes before its time is over the training keeps its state and is queued again; it goes on
# by itself, also after a node was lost.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
set -u
config=$1 data=$2 out=$3
shift 3
srun --kill-on-bad-exit=1 bigkingxxl train "$config" --data "$data" --out "$out" \
    --devices "$SLURM_NTASKS_PER_NODE" --nodes "$SLURM_JOB_NUM_NODES" "$@"
code=$?
if [ $code -eq 143 ]; then # the state is kept
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
