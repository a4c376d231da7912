"""NVIDIA ModelOpt's FastNAS pruning as an outside baseline: same seed, data, budget and fine-tuning as `fna adapt`.

`python -m benchmarks.modelopt_fastnas --help`; how to install ModelOpt and what is compared is in docs/studies.md.
"""
