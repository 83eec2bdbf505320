"""Access rules for the files and servers that a spec or a webhook names. See `rules`.

`folders` compares folders and files. `servers` decides which addresses are public.
"""
