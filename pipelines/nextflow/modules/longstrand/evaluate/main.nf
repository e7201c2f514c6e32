process LONGSTRAND_EVALUATE {
    tag "${meta.id}"
    label 'process_medium'
    label 'process_gpu'

    conda "${moduleDir}/environment.yml"
    container 'longstrand:0.1.0'

    input:
    tuple val(meta), path(fasta), path(index), path(bed)
    tuple val(meta2), path(model)

    output:
    tuple val(meta), path("${prefix}.txt"), emit: txt
    tuple val(meta), path("${prefix}.json"), emit: json
    tuple val(meta), path("${prefix}.parquet"), emit: parquet
    tuple val("${task.process}"), val('longstrand'), eval("longstrand --version | sed 's/^longstrand //'"), emit: versions_longstrand, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    def gpus = task.accelerator ? task.accelerator.request : 0
    def device = args.contains('--device') ? '' : "--device ${gpus > 1 ? 'all' : gpus ? 'cuda' : 'cpu'}"
    def bed_command = bed ? "--bed ${bed}" : ''
    def model_command = model ? "--model ${model}" : ''
    """
    longstrand \\
        evaluate \\
        ${fasta} \\
        --json ${prefix}.json \\
        --parquet ${prefix}.parquet \\
        --threads ${task.cpus} \\
        ${device} \\
        ${bed_command} \\
        ${model_command} \\
        ${args} \\
        > ${prefix}.txt
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${prefix}.txt ${prefix}.json ${prefix}.parquet
    """
}
