"""Pages as all services show them: the base page, sign-in, forms with CSRF protection, the account, wording."""
