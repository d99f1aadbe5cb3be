# A folder of images in Snakemake: shards, and the tables after the last of them.
#
#   snakemake -s snakemake.smk --cores 8 --config images=IMAGES out=OUT shards=64
#
# Exit code 75 says that a shard ended in time and is to go on (a retry); 1, that some images
# failed, which the summary lists.
IMAGES = config.get("images", "images")
OUT = config.get("out", "cells")
SHARDS = int(config.get("shards", 16))
OPTIONS = config.get("options", "")


rule tables:
    input:
        [f"{OUT}/.shards/{number}-of-{SHARDS}" for number in range(1, SHARDS + 1)],
    output:
        f"{OUT}/summary.csv",
    shell:
        "bigkingxxl tables {OUT:q} || [ $? -eq 1 ]"


rule predict:
    output:
        touch(f"{OUT}/.shards/{{number}}-of-{SHARDS}"),
    retries: 20
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    shell:
        """
        export OMP_NUM_THREADS={threads}
        code=0
        bigkingxxl predict {IMAGES:q} --out {OUT:q} {OPTIONS} --quiet \
            --shard {wildcards.number}/{SHARDS} --time-limit 3:50:00 || code=$?
        [ $code -le 1 ]
        """
