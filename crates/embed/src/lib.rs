//! Windows and reads to pooled embeddings in Parquet.
