"""Objects as files that pyarrow reads, with the connection and credentials that the lake has: for data sets and DuckDB."""

from __future__ import annotations

import io
from typing import Any, Final, NoReturn

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSelector, FileSystemHandler, FileType

from pulseframes.lake.objects import Objects

#: A smaller file is read in one request, a larger one in the parts that are asked for.
_WHOLE: Final = 8_000_000


class ObjectFiles(FileSystemHandler):  # type: ignore[misc]  # pyarrow has no types
    """The files of a lake, to read.

    Parameters
    ----------
    objects : Objects
        Where they are.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectFiles) and other._objects is self._objects

    def __hash__(self) -> int:
        return hash(id(self._objects))

    def get_type_name(self) -> str:
        """Give the kind of file system."""
        return "pulseframes"

    def normalize_path(self, path: str) -> str:
        """Give a path as objects have it."""
        return path.strip("/")

    def get_file_info(self, paths: list[str]) -> list[FileInfo]:
        """Tell what each path is."""
        return [self._info(path.strip("/")) for path in paths]

    def get_file_info_selector(self, selector: FileSelector) -> list[FileInfo]:
        """Tell all files below a folder; there are no folders but in their names."""
        base = selector.base_dir.strip("/")
        sizes = self._objects.list(base)
        if not sizes and not selector.allow_not_found:
            raise FileNotFoundError(f"There is no folder {self._objects.location}/{base}.")
        skip = len(base) + 1 if base else 0
        return [
            FileInfo(path, FileType.File, size=size)
            for path, size in sizes.items()
            if selector.recursive or "/" not in path[skip:]
        ]

    def open_input_file(self, path: str) -> pa.NativeFile:
        """Open a file to read any part of it."""
        path = path.strip("/")
        size = self._objects.size(path)
        if size is None:
            raise FileNotFoundError(f"There is no file {self._objects.location}/{path}.")
        if size <= _WHOLE:
            found = self._objects.get(path)
            return pa.BufferReader(b"" if found is None else found.data)
        return pa.PythonFile(_Parts(self._objects, path, size), mode="r")

    open_input_stream = open_input_file

    def _info(self, path: str) -> FileInfo:
        if not path or self._objects.list(path):
            return FileInfo(path, FileType.Directory)
        size = self._objects.size(path)
        return FileInfo(path, FileType.NotFound) if size is None else FileInfo(path, FileType.File, size=size)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise io.UnsupportedOperation("The files of a lake are read here, and written by pulseframes alone.")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _refuse
    move = copy_file = open_output_stream = open_append_stream = _refuse


class _Parts(io.RawIOBase):
    """A large object, read in the parts that are asked for."""

    def __init__(self, objects: Objects, path: str, size: int) -> None:
        self._objects = objects
        self._path = path
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        length = min(size if size >= 0 else self._size, self._size - self._at)
        if length <= 0:
            return b""
        data = self._objects.get_range(self._path, self._at, length)
        self._at += len(data)
        return data
