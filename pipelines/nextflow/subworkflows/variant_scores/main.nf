//
// Plan what memory and time shards take, score variants in them, and join the shards to one indexed VCF or BCF and one table each
//

include { LONGSTRAND_PLAN_SCORE                      } from '../../modules/longstrand/plan/score'
include { LONGSTRAND_SCORE                           } from '../../modules/longstrand/score'
include { LONGSTRAND_JOIN as LONGSTRAND_JOIN_VARIANTS } from '../../modules/longstrand/join'
include { LONGSTRAND_JOIN as LONGSTRAND_JOIN_TABLES   } from '../../modules/longstrand/join'

workflow VARIANT_SCORES {
    take:
    ch_variants   // channel: [ val(meta), path(vcf or bcf), path(index) ]; index may be []
    ch_fasta      // channel: [ val(meta2), path(fasta), path(fai), path(gzi) ], a value; fai and gzi may be []
    ch_model      // channel: [ val(meta3), path(model) ], a value; [ [:], [] ] for the built-in model
    val_extension // string: vcf.gz, or bcf if LONGSTRAND_SCORE has --output-type b
    val_shards    // integer: tasks for each input

    main:
    ch_whole = ch_variants.map { meta, variants, index -> [meta, variants, index, val_shards] }
    LONGSTRAND_PLAN_SCORE(ch_whole, ch_fasta, ch_model)

    // What a shard asks for goes with it: conf/base.config reads it.
    ch_shards = ch_variants.join(LONGSTRAND_PLAN_SCORE.out.json).flatMap { meta, variants, index, json ->
        def found = new groovy.json.JsonSlurper().parse(json).request
        // In coarse steps: a plan that is made again differs a little, and must not make a resumed run compute again.
        def up = { number, step -> number == null ? null : step * Math.max(1, (number + step - 1).intdiv(step)) }
        def planned = meta + [request: [memory_mb: up(found.memory_mb, 512), minutes: up(found.minutes, 10)]]
        (1..val_shards).collect { shard -> [planned, variants, index, "${shard}/${val_shards}"] }
    }
    LONGSTRAND_SCORE(ch_shards, ch_fasta, ch_model)

    // The order in which shards end must not decide whether a resumed run knows the join again.
    by_name = { a, b -> a.name <=> b.name }
    without_request = { meta, part -> [meta.findAll { key, _value -> key != 'request' }, part] }
    ch_variant_parts = LONGSTRAND_SCORE.out.vcf.map(without_request).groupTuple(size: val_shards, sort: by_name)
    ch_table_parts = LONGSTRAND_SCORE.out.parquet.map(without_request).groupTuple(size: val_shards, sort: by_name)
    LONGSTRAND_JOIN_VARIANTS(ch_variant_parts, val_extension)
    LONGSTRAND_JOIN_TABLES(ch_table_parts, 'parquet')

    emit:
    vcf     = LONGSTRAND_JOIN_VARIANTS.out.vcf   // channel: [ val(meta), path(vcf) ]
    index   = LONGSTRAND_JOIN_VARIANTS.out.index // channel: [ val(meta), path(index) ]
    parquet = LONGSTRAND_JOIN_TABLES.out.parquet // channel: [ val(meta), path(parquet) ]
}
