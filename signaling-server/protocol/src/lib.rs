//! Message types of the WebTorrent tracker protocol, shared by the peer and the server.
