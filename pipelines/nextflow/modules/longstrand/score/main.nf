process LONGSTRAND_SCORE {
    tag "${shard ? "${meta.id} ${shard}" : meta.id}"
    label 'process_medium'
    label 'process_gpu'

    conda "${moduleDir}/environment.yml"
    container 'longstrand:0.1.0'

    input:
    tuple val(meta), path(variants), path(index), val(shard)
    tuple val(meta2), path(fasta), path(fai), path(gzi)
    tuple val(meta3), path(model)

    output:
    tuple val(meta), path("${prefix}.${extension}"), emit: vcf
    tuple val(meta), path("${prefix}.${extension}.{tbi,csi}"), emit: index, optional: true
    tuple val(meta), path("${prefix}.parquet"), emit: parquet
    tuple val("${task.process}"), val('longstrand'), eval("longstrand --version | sed 's/^longstrand //'"), emit: versions_longstrand, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: (shard ? "${meta.id}.${shard.replace('/', '_of_')}" : "${meta.id}")
    extension = args.contains('--output-type b') || args.contains('-Ob') ? 'bcf' : 'vcf.gz'
    // Shards are joined only if all were computed on the same kind of device, so that none is left to chance.
    def gpus = task.accelerator ? task.accelerator.request : 0
    def device = args.contains('--device') ? '' : "--device ${gpus > 1 ? 'all' : gpus ? 'cuda' : 'cpu'}"
    def model_command = model ? "--model ${model}" : ''
    def shard_command = shard ? "--shard ${shard}" : ''
    if ("${variants}" == "${prefix}.${extension}") {
        error("Input and output names are the same, use \"task.ext.prefix\" to disambiguate!")
    }
    """
    longstrand \\
        score \\
        ${variants} \\
        --reference ${fasta} \\
        --output ${prefix}.${extension} \\
        --parquet ${prefix}.parquet \\
        --threads ${task.cpus} \\
        ${device} \\
        ${model_command} \\
        ${shard_command} \\
        ${args}
    """

    stub:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: (shard ? "${meta.id}.${shard.replace('/', '_of_')}" : "${meta.id}")
    extension = args.contains('--output-type b') || args.contains('-Ob') ? 'bcf' : 'vcf.gz'
    if ("${variants}" == "${prefix}.${extension}") {
        error("Input and output names are the same, use \"task.ext.prefix\" to disambiguate!")
    }
    def create = extension == 'bcf' ? 'touch' : 'echo "" | gzip >'
    def index_type = extension == 'bcf' ? 'csi' : 'tbi'
    """
    ${create} ${prefix}.${extension}
    touch ${prefix}.${extension}.${index_type}
    touch ${prefix}.parquet
    """
}
