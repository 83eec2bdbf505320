"""Turn labelled images into batches of pixels.

decode, sources    decode images; read them, and report rows that cannot be read
pack               resize images once into the cache, in the layout of a batch
shards             read the images of any step from the memory-mapped cache
prepare            all of this, from a spec
"""
