"""Labelled images in, batches of pixels out.

decode, sources    an image's pixels; where images come from, and what could not be read
pack               resized once, in the cache, to pixels that lie as a batch needs them
shards             any images of any step, read where they lie
prepare            all of it, from a spec
"""
