"""The console's pages of sources and their streams."""

from __future__ import annotations

from apps.sources.pages import adding, choosing, showing, streams

urlpatterns = [*adding.urlpatterns, *choosing.urlpatterns, *showing.urlpatterns, *streams.urlpatterns]
