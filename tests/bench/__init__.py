"""The benchmarks: one module for each, which measures our side and what it is compared with in the same run."""
