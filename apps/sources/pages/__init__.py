"""The console's pages of sources and their streams."""

from __future__ import annotations

from apps.sources.pages import adding, choosing, connecting, editing, inbox, querying, showing, streams

urlpatterns = [
    *adding.urlpatterns,
    *editing.urlpatterns,
    *choosing.urlpatterns,
    *connecting.urlpatterns,
    *inbox.urlpatterns,
    *querying.urlpatterns,
    *showing.urlpatterns,
    *streams.urlpatterns,
]
