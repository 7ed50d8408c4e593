"""The console's pages of sources and their streams."""

from __future__ import annotations

from apps.sources.pages import adding, choosing, inbox, showing, streams, wizard

urlpatterns = [
    *adding.urlpatterns,
    *wizard.urlpatterns,
    *choosing.urlpatterns,
    *inbox.urlpatterns,
    *showing.urlpatterns,
    *streams.urlpatterns,
]
