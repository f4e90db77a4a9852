"""The steps of `scripts/gpu_check`, a file per group."""
