"""The console's pages of people: who is in a project, who is invited, one's own account and tokens."""

from __future__ import annotations

from apps.accounts.pages import account, joining, members, platform, tokens

urlpatterns = [
    *members.urlpatterns,
    *joining.urlpatterns,
    *account.urlpatterns,
    *tokens.urlpatterns,
    *platform.urlpatterns,
]
