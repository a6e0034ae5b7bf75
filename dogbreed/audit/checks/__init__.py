"""The checks of settings: SageMaker, Lambda, EC2, networks, S3, KMS, ECR and trails. Importing registers them."""

from __future__ import annotations

from dogbreed.audit.checks import compute, jobs, network, sagemaker, storage, unused

__all__ = ["compute", "jobs", "network", "sagemaker", "storage", "unused"]
