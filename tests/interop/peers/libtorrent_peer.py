"""libtorrent as a peer of the interop tests.

Takes one command per line of JSON on standard input, answers each with one line of JSON that repeats its id; errors are
answers too. It ends with its standard input.
"""

import base64
import json
import os
import sys
import threading

import libtorrent as lt
from webrtc_only import WEBRTC_ONLY

ALERTS = (
    lt.alert.category_t.status_notification
    | lt.alert.category_t.error_notification
    | lt.alert.category_t.storage_notification
    | lt.alert.category_t.tracker_notification
    | lt.alert.category_t.connect_notification
)

session = lt.session({"alert_mask": ALERTS, **WEBRTC_ONLY})
# By v1 info hash, or the v2 one cut short where there is no other: libtorrent's "best" hash.
handles = {}
waiting = {}
said = []
lock = threading.Lock()


def answer(command_id, **fields):
    with lock:
        sys.stdout.write(json.dumps({"id": command_id, **fields}) + "\n")
        sys.stdout.flush()


def key_of(info_hashes):
    return str(info_hashes.v1 if info_hashes.has_v1() else info_hashes.get_best())


def create(command):
    """Makes a torrent of a file or folder: v1, or hybrid if asked."""
    storage = lt.file_storage()
    lt.add_files(storage, command["path"])
    flags = 0 if command["hybrid"] else lt.create_torrent.v1_only
    creator = lt.create_torrent(storage, command.get("piece_length", 0), flags)
    trackers = [command["tracker"]] if command.get("tracker") else []
    for tracker in trackers:
        creator.add_tracker(tracker)
    lt.set_piece_hashes(creator, command["path"].rsplit("/", 1)[0])
    info = lt.torrent_info(creator.generate())
    params = lt.add_torrent_params()
    params.ti = info
    params.trackers = trackers
    return {
        "torrentFile": base64.b64encode(lt.bencode(creator.generate())).decode(),
        "infoHash": key_of(info.info_hashes()),
        "magnet": lt.make_magnet_uri(params),
    }


def add(command):
    """Takes up a magnet link or a .torrent whose data lies, or will lie, in `path`."""
    if "magnet" in command:
        params = lt.parse_magnet_uri(command["magnet"])
    else:
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(base64.b64decode(command["torrentFile"]))
    if command.get("tracker"):
        params.trackers = [command["tracker"]]
    params.save_path = command["path"]
    params.flags &= ~lt.torrent_flags.auto_managed
    params.flags &= ~lt.torrent_flags.paused
    handle = session.add_torrent(params)
    key = key_of(handle.info_hashes())
    handles[key] = handle
    return {"infoHash": key}


def done(command):
    """Is answered when all of it is verified and written."""
    handle = handles[command["infoHash"]]
    with lock:
        waiting[command["infoHash"]] = command["id"]
    if handle.status().is_finished:
        handle.flush_cache()


def state(command):
    handle = handles.get(command["infoHash"])
    status = handle.status() if handle else None
    return {
        "state": status and str(status.state),
        "progress": status and status.progress,
        "peers": status and [f"{peer.client.decode(errors='replace')} {peer.ip}" for peer in handle.get_peer_info()],
        "said": said[-25:],
    }


COMMANDS = {"create": create, "add": add, "done": done, "state": state}


def listen():
    for line in sys.stdin:
        command = json.loads(line)
        try:
            fields = COMMANDS[command["command"]](command)
        except Exception as error:  # whatever it is, the test that asked must hear it
            fields = {"error": f"{type(error).__name__}: {error}"}
        if fields is not None:
            answer(command["id"], **fields)


def watch():
    while True:
        session.wait_for_alert(1000)
        for alert in session.pop_alerts():
            said.append(f"{alert.what()}: {alert.message()}")
            del said[:-200]
            if isinstance(alert, lt.torrent_finished_alert):
                alert.handle.flush_cache()
            elif isinstance(alert, lt.cache_flushed_alert) and alert.handle.status().is_finished:
                with lock:
                    command_id = waiting.pop(key_of(alert.handle.info_hashes()), None)
                if command_id is not None:
                    answer(command_id)


threading.Thread(target=watch, daemon=True).start()
answer(0, version=lt.__version__)
listen()
os._exit(0)  # at once: the interpreter's own end aborts when a thread is inside libtorrent
