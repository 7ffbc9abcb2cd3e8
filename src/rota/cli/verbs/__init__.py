"""One file per verb or small family of verbs."""
