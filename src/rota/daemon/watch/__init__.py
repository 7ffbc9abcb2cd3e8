"""Files that restart an app when they change."""
