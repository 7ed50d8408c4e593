"""Signing in through an OpenID Connect issuer (Keycloak, Entra, Google, …): one, named by MANIFOLD_OIDC_ISSUER."""
