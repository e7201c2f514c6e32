#!/usr/bin/env Rscript
# A table of embeddings in R: how many windows each contig has, and the first two principal components of the vectors.
#
# usage: tables.R embeddings.parquet pca.pdf     (needs the package arrow)

arguments <- commandArgs(trailingOnly = TRUE)
if (length(arguments) != 2) stop("usage: tables.R embeddings.parquet pca.pdf")

table <- arrow::read_parquet(arguments[1])
vectors <- do.call(rbind, as.list(table$embedding))
print(table(table$contig))

components <- prcomp(vectors)$x[, 1:2]
pdf(arguments[2])
plot(components, col = factor(table$contig), pch = 20)
invisible(dev.off())
