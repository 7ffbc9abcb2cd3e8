"""What is kept: runs, leases, buckets, heartbeats, checkpoints. Stores save and claim; the pure rooms decide."""
