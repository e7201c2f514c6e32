process LONGSTRAND_PLAN_EMBED {
    tag "${meta.id}"
    label 'process_medium'
    label 'process_gpu'

    conda "${moduleDir}/environment.yml"
    container 'longstrand:0.1.0'

    input:
    tuple val(meta), path(input), path(index), path(bed), val(shards)
    tuple val(meta2), path(fasta), path(fai)
    tuple val(meta3), path(model)

    output:
    tuple val(meta), path("${prefix}.plan.json"), emit: json
    tuple val("${task.process}"), val('longstrand'), eval("longstrand --version | sed 's/^longstrand //'"), emit: versions_longstrand, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    // What is planned is what the task of the same options computes on.
    def gpus = task.accelerator ? task.accelerator.request : 0
    def device = args.contains('--device') ? '' : "--device ${gpus > 1 ? 'all' : gpus ? 'cuda' : 'cpu'}"
    def bed_command = bed ? "--bed ${bed}" : ''
    def fasta_command = input.name.endsWith('.cram') && fasta ? "--reference ${fasta}" : ''
    def model_command = model ? "--model ${model}" : ''
    """
    longstrand \\
        plan \\
        --json \\
        --shards ${shards} \\
        embed \\
        ${input} \\
        --output ${prefix}.parquet \\
        --threads ${task.cpus} \\
        ${device} \\
        ${bed_command} \\
        ${fasta_command} \\
        ${model_command} \\
        ${args} \\
        > ${prefix}.plan.json
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo '{"request": {"memory_mb": 1000, "minutes": 60}}' > ${prefix}.plan.json
    """
}
