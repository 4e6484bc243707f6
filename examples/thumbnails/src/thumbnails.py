"""For each photo that came into the bucket: small versions of it in another one.

Whoever may put a photo decides what is opened here. What cannot be a photo fails at once, before memory is spent on it; a
failed event ends in the dead-letter queue.
"""

import io
import os
import urllib.parse
import warnings

import boto3
from PIL import Image, ImageOps

SIZES = (128, 512)
FORMATS = ("JPEG", "PNG", "WEBP")
PHOTO_BYTES_MAX = 25 << 20
Image.MAX_IMAGE_PIXELS = (
    50_000_000  # what a camera makes; a few kilobytes can claim a thousand times more
)
warnings.simplefilter("error", Image.DecompressionBombWarning)

s3 = boto3.client("s3")


def handler(event, context):
    return [made for record in event["Records"] for made in shrink(record["s3"])]


def shrink(place):
    bucket, key = place["bucket"]["name"], urllib.parse.unquote_plus(place["object"]["key"])
    if place["object"]["size"] > PHOTO_BYTES_MAX:
        raise ValueError(f"{key} is larger than a photo: {place['object']['size']} bytes")
    photo = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    made = []
    with Image.open(io.BytesIO(photo), formats=FORMATS) as image:
        image.draft(
            "RGB", (2 * SIZES[-1], 2 * SIZES[-1])
        )  # a JPEG is decoded no larger than needed
        upright = ImageOps.exif_transpose(image)
        for size in reversed(SIZES):
            upright.thumbnail((size, size))
            small = io.BytesIO()
            upright.convert("RGBA" if "A" in upright.getbands() else "RGB").save(
                small, "WEBP", quality=80
            )
            name = f"{size}/{key}.webp"
            s3.put_object(
                Bucket=os.environ["THUMBNAILS"],
                Key=name,
                Body=small.getvalue(),
                ContentType="image/webp",
            )
            made.append(f"{name} {upright.width}x{upright.height}")
    print("\n".join(made))
    return made
