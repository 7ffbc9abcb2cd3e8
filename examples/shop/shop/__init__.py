"""What the programs of the shop share."""
