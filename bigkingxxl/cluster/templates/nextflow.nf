// A folder of images in Nextflow: shards, and the tables after the last of them.
//
//   nextflow run nextflow.nf --images IMAGES --out OUT --shards 64 --options '--diameter 30'
//
// Exit code 75 says that a shard ended in time and is to go on; 1, that some images failed, which
// the summary lists.
params.images = 'images'
params.out = 'cells'
params.shards = 16
params.options = ''

process predict {
    cpus 1
    memory '2 GB'
    time '4h'
    errorStrategy { task.exitStatus == 75 || task.exitStatus > 128 ? 'retry' : 'finish' }
    maxRetries 20

    input:
    val shard

    output:
    val shard

    script:
    """
    export OMP_NUM_THREADS=${task.cpus}
    code=0
    bigkingxxl predict '${file(params.images).toAbsolutePath()}' ${params.options} --quiet \
        --out '${file(params.out).toAbsolutePath()}' \
        --shard ${shard}/${params.shards} --time-limit 3:50:00 || code=\$?
    [ \$code -eq 1 ] || exit \$code
    """
}

process tables {
    input:
    val shards

    script:
    """
    bigkingxxl tables '${file(params.out).toAbsolutePath()}' || [ \$? -eq 1 ]
    """
}

workflow {
    channel.of(1..params.shards) | predict | collect | tables
}
