"""Four writers commit to one Delta table at once: each commit is a put-if-absent of the next version."""

import os
import threading

import deltalake
import pyarrow as pa

options = {
    "AWS_ENDPOINT_URL": os.environ["ENDPOINT"],
    "AWS_ALLOW_HTTP": "true",
    "aws_conditional_put": "etag",
}
place = "s3://toolbox/delta"
failed = []
deltalake.write_deltalake(place, pa.table({"n": [0]}), storage_options=options)


def append(number: int) -> None:
    for _ in range(3):
        try:
            rows = pa.table({"n": [number]})
            deltalake.write_deltalake(place, rows, mode="append", storage_options=options)
        except Exception as error:
            failed.append(error)


writers = [threading.Thread(target=append, args=(number,)) for number in range(1, 5)]
for writer in writers:
    writer.start()
for writer in writers:
    writer.join()
assert failed == [], failed
table = deltalake.DeltaTable(place, storage_options=options)
assert table.version() == 12
rows = table.to_pyarrow_table()["n"].to_pylist()
assert sorted(rows) == sorted([0, *[1, 2, 3, 4] * 3]), rows
print("ok")
