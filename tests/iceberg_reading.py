"""Reads and writes an Iceberg table of S3 Tables with pyiceberg, all through boto3 clients: as any user of the table would."""

from __future__ import annotations

import io
import uuid
from typing import Any


def rows(tables: Any, s3: Any, arn: str) -> list[dict[str, Any]]:
    """The rows of a table, as its metadata location has them now."""
    return loaded(tables, s3, arn).scan().to_arrow().to_pylist()


def loaded(tables: Any, s3: Any, arn: str) -> Any:
    from pyiceberg.catalog.noop import NoopCatalog
    from pyiceberg.io import FileIO, InputFile, OutputFile
    from pyiceberg.serializers import FromInputFile, ToOutputFile
    from pyiceberg.table import CommitTableResponse, Table
    from pyiceberg.table.update import update_table_metadata

    class File(InputFile, OutputFile):
        def _get(self) -> bytes:
            bucket, _, key = self.location.removeprefix("s3://").partition("/")
            return s3.get_object(Bucket=bucket, Key=key)["Body"].read()

        def __len__(self) -> int:
            return len(self._get())

        def exists(self) -> bool:
            return True

        def open(self, seekable: bool = True) -> Any:
            return io.BytesIO(self._get())

        def to_input_file(self) -> Any:
            return self

        def create(self, overwrite: bool = False) -> Any:
            bucket, _, key = self.location.removeprefix("s3://").partition("/")

            class Written(io.BytesIO):
                def close(self) -> None:
                    if not self.closed:
                        s3.put_object(Bucket=bucket, Key=key, Body=self.getvalue())
                    super().close()

            return Written()

    class Files(FileIO):
        def new_input(self, location: str) -> Any:
            return File(location)

        def new_output(self, location: str) -> Any:
            return File(location)

        def delete(self, location: Any) -> None:
            raise NotImplementedError

    files = Files()

    class Catalog(NoopCatalog):
        def load_table(self, identifier: Any) -> Any:
            self.seen = tables.get_table(tableArn=arn)
            location = self.seen["metadataLocation"]
            metadata = FromInputFile.table_metadata(files.new_input(location))
            return Table(identifier, metadata, location, files, self)

        def commit_table(self, table: Any, requirements: Any, updates: Any) -> Any:
            for requirement in requirements:
                requirement.validate(table.metadata)
            made = update_table_metadata(
                table.metadata, updates, metadata_location=table.metadata_location
            )
            location = f"{made.location}/metadata/{uuid.uuid4()}.metadata.json"
            ToOutputFile.table_metadata(made, files.new_output(location))
            seen = self.seen
            self.seen = tables.update_table_metadata_location(
                tableBucketARN=arn.partition("/table/")[0], namespace=seen["namespace"][0],
                name=seen["name"], versionToken=seen["versionToken"], metadataLocation=location,
            )  # fmt: skip
            return CommitTableResponse(metadata=made, metadata_location=location)

    return Catalog("boto3").load_table(("t",))
