"""The front door: HTTP, signatures, routing.

``app.App``      a request's way through the house: health, doors, wire, auth, service, answer
``auth``         who is asking; its parts: ``sigv4`` claims and canonical forms, ``sigv2`` S3's older and weaker
                 way, ``payload`` body hashes and aws-chunked, ``refusals`` the words of AWS for each "no"
``ways``         the short way of signed JSON calls of a kind seen before
``credentials``  from key ids to secrets and principals, through IAM and STS
``post_form``    a browser's upload form as a PutObject; ``query_headers`` headers in the query of a presigned URL
``context``      IAM condition keys of a request
``hosts``        which names are ours, and what ``BUCKET.s3.localhost`` means
``listener``     ``serve``: the listening socket; ``http1`` one connection, whose parts are ``head`` (reading
                 heads), ``incoming`` (bodies in) and ``outgoing`` (answers out)

Missing: WebSocket, HTTP/2, SigV4A, operations that AWS lets anybody call unsigned beyond those of S3, SQS, SNS
and STS that ``app`` names, a least rate for request bodies (only a time-out between two reads).

Nothing is imported here: whoever needs one part does not pay for the others at start.
"""
