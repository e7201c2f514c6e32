//
// Embed genomes or reads in shards, and join the shards to one table each
//

include { LONGSTRAND_EMBED } from '../../modules/longstrand/embed'
include { LONGSTRAND_JOIN  } from '../../modules/longstrand/join'

workflow GENOME_EMBEDDINGS {
    take:
    ch_input   // channel: [ val(meta), path(genome or reads), [ path(index) ], path(bed) ]; index and bed may be []
    ch_fasta   // channel: [ val(meta2), path(fasta), path(fai) ], a value; the genome of a CRAM file, else [ [:], [], [] ]
    ch_model   // channel: [ val(meta3), path(model) ], a value; [ [:], [] ] for the built-in model
    val_shards // integer: tasks for each input

    main:
    ch_shards = ch_input.flatMap { meta, input, index, bed ->
        (1..val_shards).collect { shard -> [meta, input, index, bed, "${shard}/${val_shards}"] }
    }
    LONGSTRAND_EMBED(ch_shards, ch_fasta, ch_model)

    // The order in which shards end must not decide whether a resumed run knows the join again.
    ch_parts = LONGSTRAND_EMBED.out.parquet.groupTuple(size: val_shards, sort: { a, b -> a.name <=> b.name })
    LONGSTRAND_JOIN(ch_parts, 'parquet')

    emit:
    parquet = LONGSTRAND_JOIN.out.parquet // channel: [ val(meta), path(parquet) ]
}
