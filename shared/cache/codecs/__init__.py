"""Shards, the unit of work, of commit and of trust: columns of rows <-> bytes, per format."""

from mixkd.shared.cache.codecs.arrow import ArrowCodec
from mixkd.shared.cache.codecs.base import Codec
from mixkd.shared.cache.codecs.hdf5 import Hdf5Codec

__all__ = ["CODECS", "Codec"]
CODECS: dict[str, Codec] = {codec.name: codec for codec in (ArrowCodec(), Hdf5Codec())}
