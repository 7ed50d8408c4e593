"""Every write on sources, credentials, streams and the files that were seen.

What asks a source over the network (test, discover, preview, try) does so before its transaction begins. Whether a
pipeline still reads a source is asked upstairs, before `delete_source` or `delete_stream` is called.
"""

from __future__ import annotations

from apps.sources.services.adding import (
    Chosen,
    add_source,
    draft_source,
    look_again,
    offered_streams,
    sample_stream,
    try_source,
)
from apps.sources.services.asking import discover_streams, preview_stream
from apps.sources.services.connecting import ask_device, begin_connecting, finish_connecting, take_back
from apps.sources.services.connectors import binding, connector_class, connector_of
from apps.sources.services.credentials import (
    create_credential,
    delete_credential,
    opened,
    rotate_credentials,
    set_expiry,
    set_secrets,
)
from apps.sources.services.detecting import Detected, detect, told
from apps.sources.services.drift import accept_drift, mark_seen, note_drift, policy_of, refuse_drift
from apps.sources.services.files import ignore_file, record_files, record_read, record_touched
from apps.sources.services.grants import disconnect, must_need_consent
from apps.sources.services.inbox import must_take_events, prune_events, receive_event, standing_of
from apps.sources.services.inbox_secrets import drop_previous_secret, rotate_secret
from apps.sources.services.sources import LONGEST, check_name, create_source, delete_source, update_source
from apps.sources.services.streams import declare_stream, delete_stream, note_schema, update_stream
from apps.sources.services.templates import begun_by, template_of
from apps.sources.services.testing import KEPT, Answer, stage_json, test_source
from apps.sources.services.trying import fits, found_anew, preflight, read_so, try_stream
from apps.sources.services.uploads import keep_upload, remove_upload

__all__ = [
    "KEPT",
    "LONGEST",
    "Answer",
    "Chosen",
    "Detected",
    "accept_drift",
    "add_source",
    "ask_device",
    "begin_connecting",
    "begun_by",
    "binding",
    "check_name",
    "connector_class",
    "connector_of",
    "create_credential",
    "create_source",
    "declare_stream",
    "delete_credential",
    "delete_source",
    "delete_stream",
    "detect",
    "disconnect",
    "discover_streams",
    "draft_source",
    "drop_previous_secret",
    "finish_connecting",
    "fits",
    "found_anew",
    "ignore_file",
    "keep_upload",
    "look_again",
    "mark_seen",
    "must_need_consent",
    "must_take_events",
    "note_drift",
    "note_schema",
    "offered_streams",
    "opened",
    "policy_of",
    "preflight",
    "preview_stream",
    "prune_events",
    "read_so",
    "receive_event",
    "record_files",
    "record_read",
    "record_touched",
    "refuse_drift",
    "remove_upload",
    "rotate_credentials",
    "rotate_secret",
    "sample_stream",
    "set_expiry",
    "set_secrets",
    "stage_json",
    "standing_of",
    "take_back",
    "template_of",
    "test_source",
    "told",
    "try_source",
    "try_stream",
    "update_source",
    "update_stream",
]
