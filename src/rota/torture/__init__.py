"""`rota torture`: rota's promises, tried on this machine in a scratch home."""
