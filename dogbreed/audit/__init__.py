"""audit-iam: files or a live account -> one model of principals, policies and resources -> findings."""
