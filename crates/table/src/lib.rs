//! Rows to Parquet with provenance in the footer, written whole or not at all.
