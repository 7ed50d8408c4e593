"""Every write on users, projects, memberships, invitations, tokens and sessions.

Who may do it is asked at the doors; what must hold, here.
"""

from __future__ import annotations

from apps.accounts.services.factors import (
    check_code,
    confirm,
    factor_of,
    offer,
    offered,
    prove,
    remove_factor,
    renew_recovery_codes,
    reset_factor,
)
from apps.accounts.services.identities import admit, follow_groups, link, unlink
from apps.accounts.services.invitations import invite, join, open_invitation, sign_up, withdraw_invitation
from apps.accounts.services.lockout import unlock
from apps.accounts.services.people import (
    FirstAdmin,
    change_password,
    change_user,
    confirm_password,
    create_user,
    ensure_first_admin,
    new_password,
    replace_password,
    set_active,
)
from apps.accounts.services.projects import create_project, remove_membership, set_membership
from apps.accounts.services.sessions import end_other_sessions, end_session, sessions_of
from apps.accounts.services.tokens import expiry, issue_token, revoke_token

__all__ = [
    "FirstAdmin",
    "admit",
    "change_password",
    "change_user",
    "check_code",
    "confirm",
    "confirm_password",
    "create_project",
    "create_user",
    "end_other_sessions",
    "end_session",
    "ensure_first_admin",
    "expiry",
    "factor_of",
    "follow_groups",
    "invite",
    "issue_token",
    "join",
    "link",
    "new_password",
    "offer",
    "offered",
    "open_invitation",
    "prove",
    "remove_factor",
    "remove_membership",
    "renew_recovery_codes",
    "replace_password",
    "reset_factor",
    "revoke_token",
    "sessions_of",
    "set_active",
    "set_membership",
    "sign_up",
    "unlink",
    "unlock",
    "withdraw_invitation",
]
