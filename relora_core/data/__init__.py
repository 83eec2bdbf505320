"""Text in, batches of tokens out.

rows, files, hub, sources    where documents come from, and what could not be read
token_files                  documents that are tokens already
split, tokenizer, packing    documents to two streams of tokens, once, in the cache
batch                        what a dataset holds and a step reads
shards, shuffle, loader      any batch of any step, read where it lies
prepare                      all of it, from a spec
"""
