#!/usr/bin/env nextflow

//
// Genomes and reads to embeddings, variants to scores, each in shards
//

include { GENOME_EMBEDDINGS } from './subworkflows/genome_embeddings'
include { VARIANT_SCORES    } from './subworkflows/variant_scores'

// A file's name without the endings that sequence and variant files have.
def sampleName(file) {
    file.name.replaceFirst(/(?i)\.(fa|fasta|fna|2bit|bam|cram|vcf|bcf)(\.b?gz)?$/, '')
}

// Those of a file's possible indexes that lie beside it.
def indexes(file, endings) {
    endings.collect { ending -> file.resolveSibling("${file.name}.${ending}") }.findAll { index -> index.exists() }
}

// The files of a pattern. Two of one name would be gathered as one sample.
def samples(option, pattern) {
    def found = pattern ? files(pattern, checkIfExists: true) : []
    found.groupBy { file -> sampleName(file) }.each { name, alike ->
        if (alike.size() > 1) {
            error("${option}: expected a name of its own for each file, found ${alike[0]} and ${alike[1]}, both ${name}")
        }
    }
    return found
}

workflow {
    main:
    if (!params.input && !params.variants) {
        error("Nothing to do: give --input (a genome or reads), or --variants and --reference.")
    }
    if (params.variants && !params.reference) {
        error("--variants needs --reference, the genome that they are told against.")
    }
    if (!(params.shards instanceof Integer) || params.shards < 1) {
        error("--shards: expected an integer of at least 1, found ${params.shards}")
    }

    model = params.model ? [[id: 'model'], file(params.model, checkIfExists: true)] : [[:], []]
    bed = params.bed ? file(params.bed, checkIfExists: true) : []
    reference = params.reference ? file(params.reference, checkIfExists: true) : null
    fai = reference ? indexes(reference, ['fai']) : []
    gzi = reference ? indexes(reference, ['gzi']) : []

    ch_input = channel.fromList(samples('--input', params.input)).map { input ->
        [[id: sampleName(input)], input, indexes(input, ['fai', 'gzi', 'bai', 'csi', 'crai']), bed]
    }
    cram_reference = params.cram_reference ? file(params.cram_reference, checkIfExists: true) : null
    cram_fai = cram_reference ? indexes(cram_reference, ['fai', 'gzi']) : []
    GENOME_EMBEDDINGS(ch_input, [[id: 'cram_reference'], cram_reference ?: [], cram_fai], model, params.shards)

    ch_variants = channel.fromList(samples('--variants', params.variants)).map { variants ->
        [[id: sampleName(variants)], variants, indexes(variants, ['tbi', 'csi'])]
    }
    VARIANT_SCORES(ch_variants, [[id: 'reference'], reference ?: [], fai, gzi], model, params.variants_extension, params.shards)

    channel.topic('versions')
        .unique()
        .map { process, tool, version -> "${process.tokenize(':').last()}:\n    ${tool}: ${version}\n" }
        .collectFile(name: 'versions.yml', storeDir: "${params.outdir}/pipeline_info", sort: true)
}
