"""What apps say and are asked: Node's IPC, sd_notify, probes."""
