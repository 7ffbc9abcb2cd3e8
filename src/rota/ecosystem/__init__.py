"""Ecosystem files: what people write, read into `AppSpec`s.

Pure: `files` (which file is what), `units`, `words`, `keys`, `pm2`, `native`, `procfile`, `settings`, `options`, `environment`.
Edges: `load` (files, stdin), `javascript` (evaluation), `resolve` (programs, paths, env files), `dump` (PM2's saved list).
"""
