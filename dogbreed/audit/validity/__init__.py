"""Validity: what IAM Access Analyzer's ValidatePolicy says about a policy, offline; nothing where that says nothing."""
