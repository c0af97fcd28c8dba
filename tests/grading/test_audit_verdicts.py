"""A person confirms verdicts: the same sample each time, nothing asked twice, agreement with its interval."""
