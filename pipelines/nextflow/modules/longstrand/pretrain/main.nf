process LONGSTRAND_PRETRAIN {
    tag "${meta.id}"
    label 'process_high'
    label 'process_long'
    label 'process_gpu'

    conda "${moduleDir}/environment.yml"
    container 'longstrand:0.1.0'

    input:
    tuple val(meta), path(genomes), path(config), path(split)

    output:
    tuple val(meta), path("${prefix}/model"), emit: model
    tuple val(meta), path("${prefix}/config.toml"), emit: config
    tuple val(meta), path("${prefix}/metrics.jsonl"), emit: metrics
    tuple val(meta), path("${prefix}/report.html"), emit: report
    tuple val(meta), path("${prefix}/checkpoints"), emit: checkpoints
    tuple val("${task.process}"), val('longstrand'), eval("longstrand --version | sed 's/^longstrand //'"), emit: versions_longstrand, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    def device = args.contains('--device') ? '' : "--device ${task.accelerator ? 'cuda' : 'cpu'}"
    def genome_command = genomes instanceof List ? genomes.collect { genome -> "--genome ${genome}" }.join(' ') : "--genome ${genomes}"
    def config_command = config ? "--config ${config}" : ''
    def split_command = split ? "--split ${split}" : ''
    """
    longstrand \\
        pretrain \\
        ${genome_command} \\
        --output ${prefix} \\
        --threads ${task.cpus} \\
        ${device} \\
        ${config_command} \\
        ${split_command} \\
        ${args}
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}/model ${prefix}/checkpoints
    touch ${prefix}/model/config.json ${prefix}/model/model.safetensors
    touch ${prefix}/config.toml ${prefix}/metrics.jsonl ${prefix}/report.html
    touch ${prefix}/checkpoints/step-0000001
    """
}
