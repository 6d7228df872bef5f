"""The HTTP server, and the clients that ask it."""
