"""The console's pages of people: who is in a project, who is invited, one's own account and tokens."""

from __future__ import annotations

from apps.accounts.pages import joining, members, tokens

urlpatterns = [*members.urlpatterns, *joining.urlpatterns, *tokens.urlpatterns]
