"""A frame to Parquet and CSV on S3 and back through s3fs, and the file system itself."""

import os

import pandas as pd
import s3fs

options = {"client_kwargs": {"endpoint_url": os.environ["ENDPOINT"]}}
frame = pd.DataFrame({"n": range(1000), "text": ["x"] * 1000})
frame.to_parquet("s3://toolbox/t.parquet", storage_options=options)
frame.to_csv("s3://toolbox/t.csv", storage_options=options, index=False)
assert pd.read_parquet("s3://toolbox/t.parquet", storage_options=options).equals(frame)
assert pd.read_csv("s3://toolbox/t.csv", storage_options=options).equals(frame)
files = s3fs.S3FileSystem(**options)
files.pipe("toolbox/d/x", b"1")
files.mv("toolbox/d/x", "toolbox/d/y")
assert files.ls("toolbox/d") == ["toolbox/d/y"]
large = bytes(range(256)) * 50_000  # more than one part
with files.open("toolbox/d/large", "wb", block_size=5 << 20) as file:
    file.write(large)
with files.open("toolbox/d/large", "rb") as file:
    file.seek(-1000, 2)
    assert file.read() == large[-1000:]
assert files.cat("toolbox/d/large") == large
files.rm("toolbox/d", recursive=True)
assert not files.exists("toolbox/d/large")
print("ok")
