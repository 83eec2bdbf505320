"""Turn text into batches of tokens.

rows, files, hub, sources    read documents, and report rows that cannot be read
token_files                  read documents that are already tokenized
split, tokenizer, packing    tokenize documents once into two token streams in the cache
batch                        a batch and the interface of a dataset
shards, shuffle, loader      read the batch of any step from the memory-mapped streams
prepare                      all of this, from a spec
"""
