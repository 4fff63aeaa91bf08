"""libtorrent as a seeder: python3 libtorrent_seed.py FILE.torrent

The content lies beside the .torrent. It speaks WebRTC only, as a browser's peers do, and prints `seeding` when it has checked the
content. Ends with SIGTERM.
"""

import os
import signal
import sys
import time

import libtorrent as lt

session = lt.session(
    {
        "alert_mask": lt.alert.category_t.error_notification,
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
)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

path = os.path.abspath(sys.argv[1])
params = lt.add_torrent_params()
params.ti = lt.torrent_info(path)
params.save_path = os.path.dirname(path)
params.flags &= ~lt.torrent_flags.auto_managed
params.flags &= ~lt.torrent_flags.paused
handle = session.add_torrent(params)
while not handle.status().is_seeding:
    time.sleep(0.05)
print("seeding", flush=True)
while True:
    for alert in session.pop_alerts():
        print(f"{alert.what()}: {alert.message()}", file=sys.stderr, flush=True)
    session.wait_for_alert(1000)
