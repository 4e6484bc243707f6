"""The front door: HTTP, signatures, routing.

``app.App``      a request's way through the house: doors, wire, auth, service, answer
``auth``         who is asking; ``sigv4``, ``sigv2``, ``payload``, ``refusals`` are its parts
``hosts``        which names are ours, and what ``BUCKET.s3.localhost`` means
``listener``     the listening socket; ``http1`` one connection; ``head``, ``incoming``, ``outgoing`` its parts

Nothing is imported here: whoever needs one part does not pay for the others at start.
"""
