"""One file per verb or small family of verbs: a request in, facts out. No verb touches state but through the supervisor."""
