"""Accounts of one machine: a password is chosen at first sign-in, or printed once."""

from __future__ import annotations

import asyncio
import dbm
import re
import secrets
from pathlib import Path
from typing import Any

import bcrypt
from firstuseauthenticator import FirstUseAuthenticator
from firstuseauthenticator.firstuseauthenticator import CustomLoginHandler, ResetPasswordHandler
from jupyterhub.handlers import LoginHandler
from traitlets import default

#: bcrypt reads no more than this of a password, in bytes.
LONGEST_PASSWORD = 72

#: A name is a folder and part of a system user's name.
USER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")


class AccountsLoginHandler(CustomLoginHandler):  # type: ignore[misc]
    """The sign-in form, with the authenticator's reason above its fields."""

    def _render(self, login_error: str | None = None, username: str | None = None, **kwargs: Any) -> Any:
        # The parent's method is older than the hub's and refuses what the hub gives with an expired form, which
        # would be an empty page.
        return LoginHandler._render(self, self.custom_login_error or login_error, username, **kwargs)


class LocalAccountsAuthenticator(FirstUseAuthenticator):  # type: ignore[misc]
    """Signs in people whose password was chosen at their first sign-in.

    An administrator's account is never open to whoever comes first: its password is made on the command line
    and printed once (see `first_password`).
    """

    @default("min_password_length")
    def _default_min_password_length(self) -> int:
        return 10

    def validate_username(self, username: str) -> bool:
        """Whether a name may be an account's here."""
        return bool(USER_NAME.fullmatch(username) and super().validate_username(username))

    async def authenticate(self, handler: Any, data: dict[str, str]) -> Any:
        """Check the password, or keep it where this is the account's first sign-in.

        Returns None, and tells the person why, where the name or the password will not do.
        """
        name = self.normalize_username(data.get("username", ""))
        password = data.get("password", "")
        if not self.validate_username(name):
            handler.custom_login_error = (
                "A user name starts with a letter and has up to 31 small letters, digits, - and _."
            )
            return None
        if refused := _too_long(password):
            handler.custom_login_error = refused
            return None
        if self._is_administrator(handler, name) and not has_password(Path(self.dbm_path), name):
            handler.custom_login_error = (
                "An administrator's password is not chosen here: the first one is printed when the platform first "
                f"starts. To make a new one: romanhub password {name}"
            )
            return None
        # The hash is slow on purpose, and the hub serves everybody else meanwhile: it is made in a thread. The
        # parent's method makes it in the hub's loop.
        kept = kept_password(Path(self.dbm_path), name)
        if kept is None:
            if len(password) < self.min_password_length:
                handler.custom_login_error = (
                    f"Password too short: choose one that is at least {self.min_password_length} characters long."
                )
                return None
            made = await asyncio.to_thread(bcrypt.hashpw, password.encode(), bcrypt.gensalt())
            kept = keep_first(Path(self.dbm_path), name, made)
        return name if await asyncio.to_thread(bcrypt.checkpw, password.encode(), kept) else None

    def reset_password(self, username: str, new_password: str) -> Any:
        """Change the password of somebody who is signed in; returns what the page says."""
        return _too_long(new_password) or super().reset_password(username, new_password)

    def delete_user(self, user: Any) -> None:
        """Close the account of a user who is deleted; `romanhub password` opens it again."""
        known = has_password(Path(self.dbm_path), user.name)
        super().delete_user(user)
        if known:
            close_account(Path(self.dbm_path), user.name)

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """The pages of signing in and of changing the password."""
        return [(r"/login", AccountsLoginHandler), (r"/auth/change-password", ResetPasswordHandler)]

    def _is_administrator(self, handler: Any, name: str) -> bool:
        """Whether the account has an administrator's rights, by configuration or by another administrator."""
        user = handler.find_user(name)
        return name in self.admin_users or (user is not None and user.admin)


def _too_long(password: str) -> str | None:
    """What the person reads where the password is too long; None where it is not."""
    if len(password.encode()) > LONGEST_PASSWORD:
        return f"A password has at most {LONGEST_PASSWORD} bytes. Choose a shorter one."
    return None


def close_account(passwords: Path, user: str) -> None:
    """Leave a deleted account a password that nobody knows.

    Its home and its ledger are still there: the next person who signs in by the name must not be given them.
    """
    first_password(passwords, user, again=True)


def has_password(passwords: Path, user: str) -> bool:
    """Whether the account has a password already."""
    return kept_password(passwords, user) is not None


def kept_password(passwords: Path, user: str) -> bytes | None:
    """Return the hash of an account's password, or None where it has none."""
    with dbm.open(str(passwords), "c", 0o600) as kept:
        return kept.get(user.encode())


def keep_first(passwords: Path, user: str, made: bytes) -> bytes:
    """Keep the hash of an account's first password. Return the one that is kept: somebody may have been faster."""
    with dbm.open(str(passwords), "c", 0o600) as kept:
        return kept.setdefault(user.encode(), made)


def first_password(passwords: Path, user: str, *, again: bool = False) -> str | None:
    """Make a password for an account that has none, to be shown once; None where it has one.

    Parameters
    ----------
    passwords
        The file of passwords, as the authenticator keeps it.
    user
        The account.
    again
        Make a new one even where there is one.
    """
    with dbm.open(str(passwords), "c", 0o600) as kept:
        if user.encode() in kept and not again:
            return None
        password = secrets.token_urlsafe(12)
        kept[user.encode()] = bcrypt.hashpw(password.encode(), bcrypt.gensalt())
    return password
