#!/bin/bash
# A folder of images on SLURM: an array of shards, and the tables after the last of them.
#
#   bash slurm.sh IMAGES OUT [options of `bigkingxxl predict`]
#
# SHARDS, TIME and PARTITION say how it is shared out: SHARDS=64 TIME=2:00:00 bash slurm.sh ...
# Five minutes before its time is over a shard ends by itself and is queued again; one whose node
# is lost is queued again as well. What was done is not done twice.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --signal=USR1@300
set -u
images=$1 out=$2
shift 2
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then # a shard
    srun bigkingxxl predict "$images" --out "$out" "$@" --quiet \
        --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
    code=$?
    if [ $code -eq 75 ]; then # not done yet, but ended in time
        scontrol requeue "$SLURM_JOB_ID"
    fi
    exit $code
fi
if [ -n "${SLURM_JOB_ID:-}" ]; then # the job after the shards
    exec bigkingxxl tables "$out"
fi

mkdir -p "$out"
options=(--parsable --time="${TIME:-4:00:00}" ${PARTITION:+--partition="$PARTITION"})
array=$(sbatch "${options[@]}" --array="1-${SHARDS:-16}" --output="$out/slurm-%A_%a.log" \
    "$0" "$images" "$out" "$@") || exit
tables=$(sbatch "${options[@]}" --dependency="afterany:$array" --output="$out/slurm-%j.log" \
    "$0" "$images" "$out" "$@") || exit
echo "shards: job $array, tables: job $tables"
