"""The daemon: owner of every state; spawns, watches, decides, and answers whoever asks over the socket."""
