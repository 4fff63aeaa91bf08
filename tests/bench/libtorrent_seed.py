"""libtorrent as a seeder: python3 libtorrent_seed.py FILE.torrent

The content lies beside the .torrent. The seeder speaks WebRTC only, as a browser's peers do, and prints `seeding` when
it has checked the content. SIGTERM ends it.
"""

import os
import signal
import sys
import time

import libtorrent as lt
from webrtc_only import WEBRTC_ONLY

session = lt.session({"alert_mask": lt.alert.category_t.error_notification, **WEBRTC_ONLY})
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
