process LONGSTRAND_JOIN {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container 'longstrand:0.1.0'

    input:
    tuple val(meta), path(parts, stageAs: 'parts/*')
    val extension

    output:
    tuple val(meta), path("${prefix}.parquet"), emit: parquet, optional: true
    tuple val(meta), path("${prefix}.{vcf,vcf.gz,bcf}"), emit: vcf, optional: true
    tuple val(meta), path("${prefix}.{vcf.gz,bcf}.{tbi,csi}"), emit: index, optional: true
    tuple val("${task.process}"), val('longstrand'), eval("longstrand --version | sed 's/^longstrand //'"), emit: versions_longstrand, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    if (!(extension in ['parquet', 'vcf', 'vcf.gz', 'bcf'])) {
        error("Extension not one of parquet, vcf, vcf.gz, bcf.")
    }
    """
    longstrand \\
        join \\
        --output ${prefix}.${extension} \\
        --threads ${task.cpus} \\
        ${args} \\
        ${parts}
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    if (!(extension in ['parquet', 'vcf', 'vcf.gz', 'bcf'])) {
        error("Extension not one of parquet, vcf, vcf.gz, bcf.")
    }
    def create = extension == 'vcf.gz' ? 'echo "" | gzip >' : 'touch'
    def index = extension == 'vcf.gz' ? "touch ${prefix}.vcf.gz.tbi" : extension == 'bcf' ? "touch ${prefix}.bcf.csi" : ''
    """
    ${create} ${prefix}.${extension}
    ${index}
    """
}
