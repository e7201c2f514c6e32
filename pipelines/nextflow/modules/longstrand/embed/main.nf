process LONGSTRAND_EMBED {
    tag "${shard ? "${meta.id} ${shard}" : meta.id}"
    label 'process_medium'
    label 'process_gpu'

    conda "${moduleDir}/environment.yml"
    container 'longstrand:0.1.0'

    input:
    tuple val(meta), path(input), path(index), path(bed), val(shard)
    tuple val(meta2), path(fasta), path(fai)
    tuple val(meta3), path(model)

    output:
    tuple val(meta), path("${prefix}.parquet"), emit: parquet
    tuple val("${task.process}"), val('longstrand'), eval("longstrand --version | sed 's/^longstrand //'"), emit: versions_longstrand, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: (shard ? "${meta.id}.${shard.replace('/', '_of_')}" : "${meta.id}")
    // Shards are joined only if all were computed on the same kind of device, so that none is left to chance.
    def gpus = task.accelerator ? task.accelerator.request : 0
    def device = args.contains('--device') ? '' : "--device ${gpus > 1 ? 'all' : gpus ? 'cuda' : 'cpu'}"
    def bed_command = bed ? "--bed ${bed}" : ''
    def fasta_command = input.name.endsWith('.cram') && fasta ? "--reference ${fasta}" : ''
    def model_command = model ? "--model ${model}" : ''
    def shard_command = shard ? "--shard ${shard}" : ''
    """
    longstrand \\
        embed \\
        ${input} \\
        --output ${prefix}.parquet \\
        --threads ${task.cpus} \\
        ${device} \\
        ${bed_command} \\
        ${fasta_command} \\
        ${model_command} \\
        ${shard_command} \\
        ${args}
    """

    stub:
    prefix = task.ext.prefix ?: (shard ? "${meta.id}.${shard.replace('/', '_of_')}" : "${meta.id}")
    """
    touch ${prefix}.parquet
    """
}
