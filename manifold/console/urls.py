"""Every page of the console, below `/`. The apps bring their own; this module only gathers them."""

from __future__ import annotations

from django.urls import path

from apps.accounts import pages as accounts
from apps.pipelines import pages as pipelines
from apps.snapshots import pages as snapshots
from apps.sources import pages as sources
from manifold.console import audit, doors, flower, home, search

app_name = "console"
urlpatterns = [
    path("", home.root, name="root"),
    path("login/", doors.sign_in, name="sign-in"),
    path("logout/", doors.sign_out, name="sign-out"),
    path("flower/", flower.index, name="flower"),
    path("flower/<path:rest>", flower.page, name="flower-page"),
    path("p/<slug:project>/", home.home, name="home"),
    path("p/<slug:project>/search/", search.index, name="search"),
    *audit.urlpatterns,
    *accounts.urlpatterns,
    *sources.urlpatterns,
    *pipelines.urlpatterns,
    *snapshots.urlpatterns,
]
