"""The front door: sockets, HTTP/1.1, signatures, and one HTTP request to one service call."""
