rule plan_embed:
    input:
        unpack(embed_input),
    output:
        "results/plans/{sample}.embed.json",
    log:
        "logs/plan/{sample}.embed.log",
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 12000 * attempt,
        runtime=60,
        gpu=config["gpus"],
    params:
        shards=config["shards"],
        extra=lambda wildcards: config["embeddings"][wildcards.sample]["extra"],
    wrapper:
        f"{WRAPPERS}/plan"


rule embed_shard:
    input:
        unpack(embed_input),
        plan=ancient("results/plans/{sample}.embed.json"),
    output:
        temp("results/embeddings/shards/{sample}.{shard}_of_{total}.parquet"),
    log:
        "logs/embed/{sample}.{shard}_of_{total}.log",
    threads: config["threads"]
    resources:
        mem_mb=memory,
        runtime=runtime,
        gpu=config["gpus"],
    params:
        shard="{shard}/{total}",
        extra=lambda wildcards: config["embeddings"][wildcards.sample]["extra"],
    wrapper:
        f"{WRAPPERS}/embed"


rule join_embeddings:
    input:
        parts=shards("results/embeddings/shards/{sample}.{shard}_of_{total}.parquet"),
    output:
        "results/embeddings/{sample}.parquet",
    log:
        "logs/join/{sample}.embeddings.log",
    wrapper:
        f"{WRAPPERS}/join"
