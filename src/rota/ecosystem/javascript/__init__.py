"""Evaluating `ecosystem.config.js` and its kin: by an embedded engine in a sandbox, or by node where that cannot."""
