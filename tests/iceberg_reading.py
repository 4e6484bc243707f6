"""Reads an Iceberg table of S3 Tables with pyiceberg, its files through a boto3 client: as any user of the table would."""

from __future__ import annotations

import io
from typing import Any


def rows(tables: Any, s3: Any, arn: str) -> list[dict[str, Any]]:
    """The rows of a table, as its metadata location has them now."""
    return loaded(tables, s3, arn).scan().to_arrow().to_pylist()


def loaded(tables: Any, s3: Any, arn: str) -> Any:
    from pyiceberg.catalog.noop import NoopCatalog
    from pyiceberg.io import FileIO, InputFile
    from pyiceberg.serializers import FromInputFile
    from pyiceberg.table import StaticTable

    class File(InputFile):
        def _get(self) -> bytes:
            bucket, _, key = self.location.removeprefix("s3://").partition("/")
            return s3.get_object(Bucket=bucket, Key=key)["Body"].read()

        def __len__(self) -> int:
            return len(self._get())

        def exists(self) -> bool:
            return True

        def open(self, seekable: bool = True) -> Any:
            return io.BytesIO(self._get())

    class Files(FileIO):
        def new_input(self, location: str) -> Any:
            return File(location)

        def new_output(self, location: str) -> Any:
            raise NotImplementedError

        def delete(self, location: Any) -> None:
            raise NotImplementedError

    location = tables.get_table(tableArn=arn)["metadataLocation"]
    files = Files()
    metadata = FromInputFile.table_metadata(files.new_input(location))
    return StaticTable(("t",), metadata, location, files, NoopCatalog("n"))
