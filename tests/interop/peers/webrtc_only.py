"""Settings of a libtorrent session that speaks WebRTC only: no TCP, uTP, DHT, local discovery or STUN server."""

WEBRTC_ONLY = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_outgoing_tcp": False,
    "enable_incoming_tcp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "webtorrent_stun_server": "",
    "ssrf_mitigation": False,
    "allow_multiple_connections_per_ip": True,
}
