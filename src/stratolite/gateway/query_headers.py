"""Headers that stand in the query of a presigned URL, as the SDK for JavaScript puts them: S3 reads both alike.

What the signature itself says is left, and so are checksums that need not be sent (``x-amz-checksum-crc32`` of the
empty body that was there when the URL was made), which AWS ignores unless the signature names them as headers.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
LocalStack's validated test_presigned_url_v4_x_amz_in_qs and test_pre_signed_url_if_none_match.
"""

from __future__ import annotations

from urllib.parse import unquote

from stratolite.http import HttpRequest

_OF_SIGNATURES = frozenset(
    f"x-amz-{name}"
    for name in (
        "algorithm", "content-sha256", "credential", "date", "expires", "sdk-checksum-algorithm", "security-token",
        "signature", "signedheaders",
    )
)  # fmt: skip
_CONDITIONS = frozenset({"if-match", "if-none-match"})


def take_headers_of_query(request: HttpRequest) -> None:
    """Of a presigned request that was believed. A header that was sent wins."""
    lower = request.query.lower()
    if "x-amz-" not in lower and "match=" not in lower:
        return
    found: dict[str, str] = {}
    for pair in request.query.split("&"):
        name, _, value = pair.partition("=")
        name = unquote(name).lower()
        if name in _CONDITIONS or (
            name.startswith("x-amz-")
            and name not in _OF_SIGNATURES
            and (not name.startswith("x-amz-checksum-") or name == "x-amz-checksum-mode")
        ):
            found[name] = unquote(value)
    if found:
        request.headers = {**found, **request.headers}
