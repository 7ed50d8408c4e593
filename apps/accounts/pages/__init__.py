"""The console's pages of people: who is in a project, who is invited, one's own account and tokens."""

from __future__ import annotations

from apps.accounts.pages import account, joining, members, oidc, platform, second_factor, tokens

urlpatterns = [
    *members.urlpatterns,
    *joining.urlpatterns,
    *account.urlpatterns,
    *second_factor.urlpatterns,
    *oidc.urlpatterns,
    *tokens.urlpatterns,
    *platform.urlpatterns,
]
