"""The command line: start the server, deploy to it, look inside it, call it."""
