"""Pages as all services show them: the base, sign-in, forms with CSRF protection, the account, wording."""
