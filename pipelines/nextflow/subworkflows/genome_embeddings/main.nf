//
// Plan what memory and time shards take, embed genomes or reads in them, and join the shards to one table each
//

include { LONGSTRAND_EMBED      } from '../../modules/longstrand/embed'
include { LONGSTRAND_JOIN       } from '../../modules/longstrand/join'
include { LONGSTRAND_PLAN_EMBED } from '../../modules/longstrand/plan/embed'

workflow GENOME_EMBEDDINGS {
    take:
    ch_input   // channel: [ val(meta), path(genome or reads), [ path(index) ], path(bed) ]; index and bed may be []
    ch_fasta   // channel: [ val(meta2), path(fasta), path(fai) ], a value; the genome of a CRAM file, else [ [:], [], [] ]
    ch_model   // channel: [ val(meta3), path(model) ], a value; [ [:], [] ] for the built-in model
    val_shards // integer: tasks for each input

    main:
    ch_whole = ch_input.map { meta, input, index, bed -> [meta, input, index, bed, val_shards] }
    LONGSTRAND_PLAN_EMBED(ch_whole, ch_fasta, ch_model)

    // What a shard asks for goes with it: conf/base.config reads it.
    ch_shards = ch_input.join(LONGSTRAND_PLAN_EMBED.out.json).flatMap { meta, input, index, bed, json ->
        def found = new groovy.json.JsonSlurper().parse(json).request
        // In coarse steps: a plan that is made again differs a little, and must not make a resumed run compute again.
        def up = { number, step -> number == null ? null : step * Math.max(1, (number + step - 1).intdiv(step)) }
        def planned = meta + [request: [memory_mb: up(found.memory_mb, 512), minutes: up(found.minutes, 10)]]
        (1..val_shards).collect { shard -> [planned, input, index, bed, "${shard}/${val_shards}"] }
    }
    LONGSTRAND_EMBED(ch_shards, ch_fasta, ch_model)

    // The order in which shards end must not decide whether a resumed run knows the join again.
    ch_parquet = LONGSTRAND_EMBED.out.parquet.map { meta, part -> [meta.findAll { key, _value -> key != 'request' }, part] }
    ch_parts = ch_parquet.groupTuple(size: val_shards, sort: { a, b -> a.name <=> b.name })
    LONGSTRAND_JOIN(ch_parts, 'parquet')

    emit:
    parquet = LONGSTRAND_JOIN.out.parquet // channel: [ val(meta), path(parquet) ]
}
