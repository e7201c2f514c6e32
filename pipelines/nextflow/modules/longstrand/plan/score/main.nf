process LONGSTRAND_PLAN_SCORE {
    tag "${meta.id}"
    label 'process_medium'
    label 'process_gpu'

    conda "${moduleDir}/environment.yml"
    container 'longstrand:0.1.0'

    input:
    tuple val(meta), path(variants), path(index), val(shards)
    tuple val(meta2), path(fasta), path(fai), path(gzi)
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
    def model_command = model ? "--model ${model}" : ''
    """
    longstrand \\
        plan \\
        --json \\
        --shards ${shards} \\
        score \\
        ${variants} \\
        --reference ${fasta} \\
        --output ${prefix}.scored.vcf.gz \\
        --parquet ${prefix}.parquet \\
        --threads ${task.cpus} \\
        ${device} \\
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
