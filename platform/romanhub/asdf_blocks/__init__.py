"""Read ASDF files in object storage lazily: the tree first, and of the arrays only the bytes that are needed.

This package is usable by itself: it imports nothing of the platform. What it reads from is a `ByteSource`,
one small protocol; `S3Source` is one for S3, `FileSource` one for files on a disk.

    source = FileSource(Path("folder"))
    file = RemoteAsdf(source, "image.asdf")
    with file.open() as asdf_file:
        piece = asdf_file["roman"]["data"][100:300, 200:400]  # reads 200 rows at most
        chunks = to_dask(asdf_file["roman"]["data"])

Uncompressed blocks are read by ranges of rows. In lz4 blocks, which asdf writes as a row of frames of 4 MiB,
only the frames that are touched are read, or less with an index made beforehand (`build_index`). zlib and bzp2
blocks are one stream each and have no random access: they are read from their start up to the last byte that is
needed.

Whole blocks are compared with the MD5 checksum in their header. A part of a block cannot be, since the checksum
is of the whole; what protects it is the transport's own check and, for lz4, that the frame decodes to its size.

Of asdf, public interfaces do nearly everything: `asdf.open` reads the tree, and an extension with a converter
for the array tags puts lazy arrays into it. Two things are used that asdf does not document as public: the class
`asdf.tags.core.NDArrayType`, which lazy arrays derive from because libraries ask for it by `isinstance` (with
its method `_make_array`, which all its operators call), and `asdf_datatype_to_numpy_dtype` beside it.
"""

from romanhub.asdf_blocks.connection import Keys
from romanhub.asdf_blocks.dask_arrays import to_dask
from romanhub.asdf_blocks.errors import (
    BlocksError,
    ChangedError,
    ChecksumError,
    CorruptError,
    CutShortError,
    DeniedError,
    NotAsdfError,
    NotThereError,
    UnknownCompressionError,
    UnreachableError,
)
from romanhub.asdf_blocks.indexing import build_index, write_index
from romanhub.asdf_blocks.lazy import LazyArray, load, read_together
from romanhub.asdf_blocks.remote import RemoteAsdf
from romanhub.asdf_blocks.s3 import S3Source
from romanhub.asdf_blocks.sidecar import FileIndex, sidecar_key
from romanhub.asdf_blocks.source import ByteSource, FileSource

__all__ = [
    "BlocksError",
    "ByteSource",
    "ChangedError",
    "ChecksumError",
    "CorruptError",
    "CutShortError",
    "DeniedError",
    "FileIndex",
    "FileSource",
    "Keys",
    "LazyArray",
    "NotAsdfError",
    "NotThereError",
    "RemoteAsdf",
    "S3Source",
    "UnknownCompressionError",
    "UnreachableError",
    "build_index",
    "load",
    "read_together",
    "sidecar_key",
    "to_dask",
    "write_index",
]
