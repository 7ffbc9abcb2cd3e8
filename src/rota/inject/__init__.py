"""What rota puts into the processes of a cluster: files that Python and Node load there, never this package's own code."""
