"""The database's schema, one numbered file per version; see `rota.stores.database`."""
