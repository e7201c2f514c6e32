rule plan_score:
    input:
        unpack(score_input),
    output:
        "results/plans/{sample}.score.json",
    log:
        "logs/plan/{sample}.score.log",
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 12000 * attempt,
        runtime=60,
        gpu=config["gpus"],
    params:
        shards=config["shards"],
        extra=lambda wildcards: config["scores"][wildcards.sample]["extra"],
    wrapper:
        f"{WRAPPERS}/plan"


rule score_shard:
    input:
        unpack(score_input),
        plan=ancient("results/plans/{sample}.score.json"),
    output:
        variants=temp(
            f"results/scores/shards/{{sample}}.{{shard}}_of_{{total}}.{VARIANTS}"
        ),
        index=temp(
            f"results/scores/shards/{{sample}}.{{shard}}_of_{{total}}.{VARIANTS}.{INDEX}"
        ),
        parquet=temp("results/scores/shards/{sample}.{shard}_of_{total}.parquet"),
    log:
        "logs/score/{sample}.{shard}_of_{total}.log",
    threads: config["threads"]
    resources:
        mem_mb=memory,
        runtime=runtime,
        gpu=config["gpus"],
    params:
        shard="{shard}/{total}",
        extra=lambda wildcards: config["scores"][wildcards.sample]["extra"],
    wrapper:
        f"{WRAPPERS}/score"


rule join_scores:
    input:
        parts=shards(
            f"results/scores/shards/{{sample}}.{{shard}}_of_{{total}}.{VARIANTS}"
        ),
    output:
        f"results/scores/{{sample}}.{VARIANTS}",
        f"results/scores/{{sample}}.{VARIANTS}.{INDEX}",
    log:
        "logs/join/{sample}.scores.log",
    wrapper:
        f"{WRAPPERS}/join"


rule join_score_tables:
    input:
        parts=shards("results/scores/shards/{sample}.{shard}_of_{total}.parquet"),
    output:
        "results/scores/{sample}.parquet",
    log:
        "logs/join/{sample}.score_tables.log",
    wrapper:
        f"{WRAPPERS}/join"
