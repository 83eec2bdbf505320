"""What may be reached, of all that a spec or a webhook names. `rules` decides.

`folders` compares places of files; `servers` says which addresses are public.
"""
