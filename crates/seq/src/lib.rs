//! From FASTA, 2bit, BAM, CRAM and BED files to windows of bases and token ids.
