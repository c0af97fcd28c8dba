"""What would stop a run of a profile, looked for before it begins: servers, keys, GPUs, disk, weights, pools, rows."""
